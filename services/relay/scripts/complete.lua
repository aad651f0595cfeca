#!lua flags=allow-oom
-- Takes the mod's answer to a command: handed -> answered (command_life.py). The first one counts.
-- A full memory does not stop it: the command was run, Takaro has to hear of it, and nothing stays for long.
--
-- KEYS  handed, results, contact, players, ended
-- ARGV  1 operation id, 2 outcome (JSON), 3 keep_ms, 4 channel, 5 slug, 6 contact_every_ms,
--       then players: gameId, record; "" forgets them
--
-- Returns 1, or 0 for an answer that is late, repeated or not of this instance.
local handed, results, contact, players, ended = unpack(KEYS)
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)

if now_ms - (tonumber(redis.call('GET', contact)) or 0) >= tonumber(ARGV[6]) then
  redis.call('SET', contact, string.format('%d', now_ms))
end
local deadline = tonumber(redis.call('ZSCORE', handed, ARGV[1]) or 0)
if deadline < now_ms - ARGV[3] then return 0 end
redis.call('ZREM', handed, ARGV[1])
redis.call('ZADD', ended, now_ms, ARGV[1])
redis.call('PEXPIRE', ended, 2 * ARGV[3])

for i = 7, #ARGV, 2 do
  if ARGV[i + 1] == '' then
    redis.call('HDEL', players, ARGV[i])
  else
    redis.call('HSET', players, ARGV[i], ARGV[i + 1])
  end
end

-- An answer is worth nothing once Takaro has given up; an uplink that died leaves some behind.
redis.call('XTRIM', results, 'MINID', string.format('%d', now_ms - ARGV[3]))
redis.call('XADD', results, '*', 'operation', ARGV[1], 'outcome', ARGV[2])
redis.call('PEXPIRE', results, 2 * ARGV[3])
redis.call('PUBLISH', ARGV[4], ARGV[5])
return 1
