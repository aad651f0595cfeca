#!lua flags=allow-oom
-- Limits how fast the whole fleet identifies: it gives out a burst of turns at once, the rest one after the other.
--
-- KEYS  identifies
-- ARGV  1 interval_ms between two turns, 2 burst: how many may be taken at once
--
-- Returns the time to wait for the turn that was given (ms).
--
-- It stores how far the given turns reach into the future (ms), and when it computed that. It does not store the moment
-- of the last turn: if the clock were set back, every uplink would wait for that moment.
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
local interval, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local ahead, at_ms = string.match(redis.call('GET', KEYS[1]) or '', '^(%d+) (%d+)$')
local left_ms = ahead and math.max(0, ahead - math.max(0, now_ms - at_ms)) or 0
redis.call('SET', KEYS[1], string.format('%d %d', left_ms + interval, now_ms), 'PX', left_ms + 60000)
return math.max(0, left_ms - interval * (burst - 1))
