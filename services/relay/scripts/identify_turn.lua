#!lua flags=allow-oom
-- Gives out turns to identify to the whole fleet: a burst at once, the rest one after the other.
--
-- KEYS  identifies
-- ARGV  1 interval_ms between two turns, 2 burst: how many may be taken at once
--
-- Returns how long to wait for the turn that was given (ms).
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
local interval, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local next_ms = tonumber(redis.call('GET', KEYS[1])) or now_ms
local furthest = 120000 -- beyond it a clock was set back
if next_ms < now_ms or next_ms > now_ms + furthest then next_ms = now_ms end
redis.call('SET', KEYS[1], string.format('%d', next_ms + interval), 'PX', 2 * furthest)
return math.max(0, math.floor(next_ms - now_ms - interval * (burst - 1)))
