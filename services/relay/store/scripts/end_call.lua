#!lua flags=allow-oom
-- Stores the answer to a call that begin_call.lua has noted, or forgets the call.
--
-- KEYS  answers, times
-- ARGV  1 id of the call, 2 its claim, 3 its answer, or '': it was not carried out
local known = redis.call('HGET', KEYS[1], ARGV[1]) or ''
if known == ARGV[2] or known == ARGV[3] then -- a repeat of this script writes again, for WAIT
    if ARGV[3] ~= '' then
        redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
    else
        redis.call('HSET', KEYS[1], ARGV[1], '') -- so that there is something to delete
        redis.call('HDEL', KEYS[1], ARGV[1])
        redis.call('ZREM', KEYS[2], ARGV[1])
    end
end
return 1
