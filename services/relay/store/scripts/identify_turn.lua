#!lua flags=allow-oom
-- Gives out turns to identify to the whole fleet: a burst at once, the rest one after the other.
--
-- KEYS  identifies
-- ARGV  1 interval_ms between two turns, 2 burst: how many may be taken at once
--
-- Returns how long to wait for the turn that was given (ms).
--
-- Kept is how long the turns given out reach into the future, and when that was so. Not the moment itself: a clock
-- that is set back would make everybody wait for it.
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
local interval, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local ahead, at_ms = string.match(redis.call('GET', KEYS[1]) or '', '^(%d+) (%d+)$')
local left_ms = ahead and math.max(0, ahead - math.max(0, now_ms - at_ms)) or 0
redis.call('SET', KEYS[1], string.format('%d %d', left_ms + interval, now_ms), 'PX', left_ms + 60000)
return math.max(0, left_ms - interval * (burst - 1))
