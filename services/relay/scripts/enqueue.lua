-- Puts one command where the mod's next poll finds it.
--
-- KEYS  commands, waiting
-- ARGV  1 operation id, 2 action, 3 args (JSON), 4 hand_out_ms, 5 max_waiting
--
-- Returns "queued" (also when repeated after a lost reply) or "full".
local commands, waiting = unpack(KEYS)
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)

redis.call('ZREMRANGEBYSCORE', waiting, '-inf', now_ms)
if redis.call('ZSCORE', waiting, ARGV[1]) then return 'queued' end
local length = redis.call('ZCARD', waiting)
if length >= tonumber(ARGV[5]) then return 'full' end
if length == 0 then redis.call('XTRIM', commands, 'MAXLEN', 0) end -- all that is left there has expired

redis.call('ZADD', waiting, now_ms + ARGV[4], ARGV[1])
redis.call('XADD', commands, '*', 'operation', ARGV[1], 'action', ARGV[2], 'args', ARGV[3])
return 'queued'
