-- Takes the mod's answer to a command that was handed to it. The first one counts.
--
-- KEYS  handed, results, contact, players, locations
-- ARGV  1 operation id, 2 outcome (JSON), 3 keep_ms, 4 channel, 5 slug, 6 contact_every_ms, 7 max_players,
--       8 how many arguments follow for players (gameId, record), the rest are locations
--
-- Returns 1, or 0 for an answer that is late, repeated or not of this instance.
local handed, results, contact, players, locations = unpack(KEYS)
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)

if now_ms - (tonumber(redis.call('GET', contact)) or 0) >= tonumber(ARGV[6]) then
  redis.call('SET', contact, string.format('%d', now_ms))
end
if redis.call('ZREM', handed, ARGV[1]) == 0 then return 0 end

local players_end = 9 + ARGV[8]
for i = 9, #ARGV, 2 do
  local key = i < players_end and players or locations
  if redis.call('HLEN', key) > tonumber(ARGV[7]) then redis.call('DEL', key) end
  redis.call('HSET', key, ARGV[i], ARGV[i + 1])
end

-- An answer is worth nothing once Takaro has given up; an uplink that died leaves some behind.
redis.call('XTRIM', results, 'MINID', string.format('%d', now_ms - ARGV[3]))
redis.call('XADD', results, '*', 'operation', ARGV[1], 'outcome', ARGV[2])
redis.call('PUBLISH', ARGV[4], ARGV[5])
return 1
