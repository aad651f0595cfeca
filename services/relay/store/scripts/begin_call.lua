#!lua
-- Notes that a call of the admin API begins, unless it is known already. A repeat of this script is no other call.
--
-- KEYS  answers, times (of calls, see protocol/keys.py)
-- ARGV  1 id of the call, 2 a claim: a text that no other call has, 3 kept_ms, 4 most: how many calls are kept
--
-- Returns nothing if the call may be carried out; else what is stored of it, and its age (ms).
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
for _, old in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now_ms - ARGV[3], 'LIMIT', 0, 100)) do
    redis.call('HDEL', KEYS[1], old)
    redis.call('ZREM', KEYS[2], old)
end
local known = redis.call('HGET', KEYS[1], ARGV[1])
if known and known ~= ARGV[2] then
    return { known, now_ms - tonumber(redis.call('ZSCORE', KEYS[2], ARGV[1]) or now_ms) }
end
local excess = redis.call('ZCARD', KEYS[2]) + 1 - ARGV[4]
if not known and excess > 0 then
    for place, old in ipairs(redis.call('ZPOPMIN', KEYS[2], excess)) do
        if place % 2 == 1 then
            redis.call('HDEL', KEYS[1], old)
        end
    end
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('ZADD', KEYS[2], now_ms, ARGV[1])
return false
