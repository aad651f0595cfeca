#!lua
-- Puts one command where the mod's next poll finds it: new (protocol/command_states.py).
-- A full memory refuses it, before anything is touched (no allow-oom above): Takaro hears that it was not delivered,
-- and what the memory is full of, events, goes on.
--
-- KEYS  its lane, waiting, handed, ended
-- ARGV  1 operation id, 2 action, 3 args (JSON), 4 deadline_ms, 5 max_waiting, 6 keep_ms,
--       7 keep_newest  so many are kept beyond keep_ms, 8 left_ms  when nothing is left, 9 longest_ms  to any deadline
--
-- The deadline is a moment on Redis' own clock: a call that was stuck on its way for long must not come to life.
--
-- Returns "queued" (also when repeated after a lost reply, however far the command came since), "full" or "late".
local lane, waiting, handed, ended = unpack(KEYS)
local operation, deadline, keep_ms = ARGV[1], tonumber(ARGV[4]), tonumber(ARGV[6])
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)

for _, state in ipairs({waiting, handed, ended}) do
  if redis.call('ZSCORE', state, operation) then return 'queued' end
end
if deadline <= now_ms then return 'late' end
-- A deadline that lies further ahead is of before the clock was set back: take.lua does not hand that command out.
if redis.call('ZCOUNT', waiting, '(' .. now_ms, now_ms + ARGV[9]) >= tonumber(ARGV[5]) then return 'full' end

-- Forgets what is older than keep_ms, but not the newest: the clock may have been set forward just now.
local function forget(set, newest)
  local count = math.min(redis.call('ZCOUNT', set, '-inf', now_ms - keep_ms), redis.call('ZCARD', set) - newest)
  if count > 0 then redis.call('ZREMRANGEBYRANK', set, 0, count - 1) end
end

-- What is over stays known until whoever asked has been told.
forget(waiting, math.max(ARGV[5], ARGV[7]))
forget(ended, tonumber(ARGV[7]))
redis.call('XTRIM', lane, 'MINID', string.format('%d', now_ms - keep_ms))

redis.call('ZADD', waiting, math.min(deadline, now_ms + keep_ms), operation)
redis.call('XADD', lane, '*', 'operation', operation, 'action', ARGV[2], 'args', ARGV[3])
redis.call('XTRIM', lane, 'MAXLEN', '~', 2 * ARGV[5]) -- ids stand still while the clock is behind
redis.call('PEXPIRE', waiting, ARGV[8])
redis.call('PEXPIRE', lane, keep_ms)
return 'queued'
