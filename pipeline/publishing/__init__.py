"""What stands behind ``Publisher``: a bounded buffer, rows to columnar records, and the thread that sends them."""
