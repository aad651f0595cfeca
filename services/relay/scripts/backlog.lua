#!lua flags=no-writes
-- What waits for Takaro. The oldest entry is read here, for its content need not travel.
--
-- KEYS  intake, events
--
-- Returns {events, bytes, oldest_ms}: when the oldest was accepted, 0 if nothing waits.
local kept = redis.call('HMGET', KEYS[1], 'events', 'bytes')
local first = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)[1]
return {tonumber(kept[1]) or 0, tonumber(kept[2]) or 0, first and tonumber(string.match(first[1], '^%d+')) or 0}
