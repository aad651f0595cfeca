-- Appends one batch of events, whole or not at all.
--
-- KEYS  events, intake, dead, players, locations, contact
-- ARGV   1 token        random, new for each batch; the same when the call itself is repeated
--        2 digests      4 bytes for each event as the mod sent it
--        3 checked      "1": a repeated prefix was looked for already
--        4 events       JSON list of game events, "" when none is left
--        5 count        how many
--        6 max_events   what may wait in the stream
--        7 max_bytes
--        8 max_dead     length of the dead-letter stream
--        9 contact_every_ms
--       10 channel, 11 slug   to wake the uplink
--       12, 13, 14      how many arguments follow for dead letters (reason, detail, raw),
--                       players (gameId, record; "" forgets them) and locations (gameId, position)
--
-- Returns {"accepted"}, {"full"}, or {"repeat", n, token}: the mod sends again the n events of the batch
-- `token`, which was stored but whose answer it may never have seen. The caller cuts them off and calls
-- again; when nothing is left, it answers for that batch.
local events, intake, dead, players, locations, contact = unpack(KEYS)
local token, digests = ARGV[1], ARGV[2]

local last = redis.call('HMGET', intake, 'token', 'answered', 'digests', 'events', 'bytes')
if last[1] == token then
  return {'accepted'} -- this very call, repeated after a lost reply
end
if ARGV[3] ~= '1' and last[1] and last[1] ~= last[2] and last[3] ~= ''
    and string.sub(digests, 1, #last[3]) == last[3] then
  return {'repeat', #last[3] / 4, last[1]}
end

local count, size = tonumber(ARGV[5]), #ARGV[4]
if count > 0 and ((tonumber(last[4]) or 0) + count > tonumber(ARGV[6])
    or (tonumber(last[5]) or 0) + size > tonumber(ARGV[7])) then
  return {'full'}
end

redis.call('HSET', intake, 'token', token, 'digests', digests)
if count > 0 then
  redis.call('XADD', events, '*', 'events', ARGV[4], 'count', ARGV[5])
  redis.call('HINCRBY', intake, 'events', count)
  redis.call('HINCRBY', intake, 'bytes', size)
  redis.call('PUBLISH', ARGV[10], ARGV[11])
end

local at = 15
local dead_end = at + ARGV[12]
local players_end = dead_end + ARGV[13]
local locations_end = players_end + ARGV[14]
for i = at, dead_end - 1, 3 do
  redis.call('XADD', dead, 'MAXLEN', '~', ARGV[8], '*', 'reason', ARGV[i], 'detail', ARGV[i + 1], 'raw', ARGV[i + 2])
end
for i = dead_end, players_end - 1, 2 do
  if ARGV[i + 1] == '' then
    redis.call('HDEL', players, ARGV[i])
    redis.call('HDEL', locations, ARGV[i])
  else
    redis.call('HSET', players, ARGV[i], ARGV[i + 1])
  end
end
for i = players_end, locations_end - 1, 2 do
  redis.call('HSET', locations, ARGV[i], ARGV[i + 1])
end

local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
if now_ms - (tonumber(redis.call('GET', contact)) or 0) >= tonumber(ARGV[9]) then
  redis.call('SET', contact, string.format('%d', now_ms))
end
return {'accepted'}
