"""The status page, on the admin port: rendered here, kept fresh by server-sent events, no build step."""
