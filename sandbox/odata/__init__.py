"""OData query options made into SQL: grammar, filters, ordering, paging, aggregation. No HTTP, no row writing."""
