#!lua flags=allow-oom
-- Queues commands again whose poll had no answer: its mod had hung up before the first byte was written, or too few replicas
-- had what was handed out. handed -> new (protocol/command_states.py). The mod cannot have seen them, so its next poll may
-- fetch them, in their old order and before their deadlines. It may run when the memory is full: hand_out.lua has just freed the room.
--
-- KEYS  writes, reads, waiting, handed
-- ARGV  1 keep_ms, 2 keys_expire_ms, then for each command: its lane (1 writes, 2 reads), operation id, action, args
--
-- Returns the number of commands queued again. One that has ended meanwhile is left; so a repeated call changes nothing.
local waiting, handed, keep_ms = KEYS[3], KEYS[4], ARGV[1]
local count = 0
for i = 3, #ARGV, 4 do
  local lane, operation = KEYS[tonumber(ARGV[i])], ARGV[i + 1]
  local deadline = redis.call('ZSCORE', handed, operation)
  if deadline then
    redis.call('ZREM', handed, operation)
    redis.call('ZADD', waiting, deadline, operation)
    redis.call('XADD', lane, '*', 'operation', operation, 'action', ARGV[i + 2], 'args', ARGV[i + 3])
    redis.call('PEXPIRE', waiting, ARGV[2])
    redis.call('PEXPIRE', lane, keep_ms)
    count = count + 1
  end
end
return count
