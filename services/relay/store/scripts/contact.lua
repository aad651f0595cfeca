#!lua flags=allow-oom
-- Stores the time of the mod's last contact when it registers. Events, polls and results store it in their own scripts.
--
-- KEYS  contact
local time = redis.call('TIME')
redis.call('SET', KEYS[1], string.format('%d', time[1] * 1000 + math.floor(time[2] / 1000)))
