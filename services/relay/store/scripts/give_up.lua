#!lua flags=allow-oom
-- Ends a command whose time is up, and returns its end: new -> expired, handed -> unknown (protocol/command_states.py).
-- After this the command is never handed out, nor queued by an enqueue that was under way.
-- It may run when the memory is full: it only moves ids between small sets.
--
-- KEYS  waiting, handed, ended
-- ARGV  1 operation id, 2 keys_expire_ms, 3 "1": its enqueue has brought no answer, so it may never have been queued,
--       4 "1": only if no poll has fetched it yet
--
-- Returns "expired" (also for a command that was not queued and never will be), "unknown", or "" for a command that had
-- ended before, or (with 4) that a poll has fetched.
local waiting, handed, ended = unpack(KEYS)
local state = ''
if ARGV[3] == '1' and not redis.call('ZSCORE', ended, ARGV[1]) then state = 'expired' end
if redis.call('ZREM', waiting, ARGV[1]) == 1 then state = 'expired' end
if ARGV[4] ~= '1' and redis.call('ZREM', handed, ARGV[1]) == 1 then state = 'unknown' end
if state ~= '' then
  local time = redis.call('TIME')
  redis.call('ZADD', ended, time[1] * 1000 + math.floor(time[2] / 1000), ARGV[1])
  redis.call('PEXPIRE', ended, ARGV[2])
end
return state
