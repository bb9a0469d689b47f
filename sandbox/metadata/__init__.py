"""What the environment says about its own tables: definitions as JSON, and the model as CSDL."""
