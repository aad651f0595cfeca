#!lua
-- Queues one command for the mod's next poll: its state is new (protocol/command_states.py).
-- If the memory is full, Redis refuses the script before it does anything (no allow-oom above): Takaro hears that the
-- command was not delivered, and the events that fill the memory are still delivered.
--
-- KEYS  the stream of its lane, waiting, handed, ended
-- ARGV  1 operation id, 2 action, 3 args (JSON), 4 deadline_ms, 5 max_waiting, 6 keep_ms,
--       7 keep_newest  number of commands that are kept beyond keep_ms, 8 keys_expire_ms  after which unused keys expire,
--       9 longest_ms  the longest time to any deadline
--
-- The deadline is a moment on Redis' clock: a call that was delayed for long must not queue a command any more.
--
-- Returns "queued" (also if it is repeated after a lost reply, in whatever state the command is by now), "full" or "late".
local lane, waiting, handed, ended = unpack(KEYS)
local operation, deadline, keep_ms = ARGV[1], tonumber(ARGV[4]), tonumber(ARGV[6])
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)

for _, state in ipairs({waiting, handed, ended}) do
  if redis.call('ZSCORE', state, operation) then return 'queued' end
end
if deadline <= now_ms then return 'late' end
-- A deadline that is further ahead was set before the clock was set back: hand_out.lua does not hand that command out.
if redis.call('ZCOUNT', waiting, '(' .. now_ms, now_ms + ARGV[9]) >= tonumber(ARGV[5]) then return 'full' end

-- Deletes what is older than keep_ms, except the newest ones: the clock may have been set forward just now.
local function forget(set, newest)
  local count = math.min(redis.call('ZCOUNT', set, '-inf', now_ms - keep_ms), redis.call('ZCARD', set) - newest)
  if count > 0 then redis.call('ZREMRANGEBYRANK', set, 0, count - 1) end
end

-- A command that has ended is remembered until the uplink that asked has been answered.
forget(waiting, math.max(ARGV[5], ARGV[7]))
forget(ended, tonumber(ARGV[7]))
redis.call('XTRIM', lane, 'MINID', string.format('%d', now_ms - keep_ms))

redis.call('ZADD', waiting, math.min(deadline, now_ms + keep_ms), operation)
redis.call('XADD', lane, '*', 'operation', operation, 'action', ARGV[2], 'args', ARGV[3])
redis.call('XTRIM', lane, 'MAXLEN', '~', 2 * ARGV[5]) -- MINID deletes nothing while the clock is behind the ids
redis.call('PEXPIRE', waiting, ARGV[8])
redis.call('PEXPIRE', lane, keep_ms)
return 'queued'
