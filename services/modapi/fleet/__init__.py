"""What is known of all servers now, for the page and the API."""
