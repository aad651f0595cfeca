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
--        9 max_players
--       10 contact_every_ms
--       11 channel, 12 slug   to wake the uplink
--       13, 14, 15      how many arguments follow for dead letters (reason, detail, raw),
--                       players (gameId, record) and locations (gameId, position)
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
  redis.call('PUBLISH', ARGV[11], ARGV[12])
end

local at = 16
local dead_end = at + tonumber(ARGV[13])
while at < dead_end do
  redis.call('XADD', dead, 'MAXLEN', '~', ARGV[8], '*', 'reason', ARGV[at], 'detail', ARGV[at + 1], 'raw', ARGV[at + 2])
  at = at + 3
end

local function remember(key, count_)
  local first = at
  at = at + tonumber(count_)
  if first == at then return end
  -- Bounded: a server that has seen this many people starts its memory anew rather than growing for ever.
  if redis.call('HLEN', key) > tonumber(ARGV[9]) then redis.call('DEL', key) end
  for i = first, at - 1, 2 do redis.call('HSET', key, ARGV[i], ARGV[i + 1]) end
end
remember(players, ARGV[14])
remember(locations, ARGV[15])

local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
if now_ms - (tonumber(redis.call('GET', contact)) or 0) >= tonumber(ARGV[10]) then
  redis.call('SET', contact, string.format('%d', now_ms))
end
return {'accepted'}
