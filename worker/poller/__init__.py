"""Finds the jobs that need a look and puts them on the queue: five questions, asked by whichever poller leads."""
