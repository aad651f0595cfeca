-- Redis' clock, from the server that holds this key: on a cluster a command without a key could go anywhere.
--
-- KEYS  any of the instance
--
-- Returns seconds and microseconds.
return redis.call('TIME')
