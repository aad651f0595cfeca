-- Appends one batch of events, whole or not at all. On the hot path: every call of Redis counts.
--
-- KEYS  events, intake, dead, players, contact
-- ARGV   1 token        random, new for each batch; the same when the call itself is repeated
--        2 answered     the last batch whose answer the mod has, as far as the caller knows
--        3 digests      4 bytes for each event as the mod sent it
--        4 checked      "1": a repeated prefix was looked for already
--        5 events       JSON list of game events, "" when none is left
--        6 count        how many
--        7 max_events   what may wait in the stream
--        8 max_bytes
--        9 max_dead     length of the dead-letter stream
--       10 heard        "1": note the time of contact
--       11              how many arguments follow for dead letters: reason, detail, raw
--                       the rest is for players: gameId, record; "" forgets them
--
-- Returns {"accepted"}, {"full"}, or {"repeat", n, token}: the mod sends again the n events of the batch
-- `token`, which was stored but whose answer it may never have seen. The caller cuts them off and calls
-- again; when nothing is left, it answers for that batch.
local events, intake, dead, players, contact = unpack(KEYS)
local token, digests = ARGV[1], ARGV[3]

local last = redis.call('HMGET', intake, 'token', 'answered', 'digests', 'events', 'bytes')
if last[1] == token then
  return {'accepted'} -- this very call, repeated after a lost reply
end
if ARGV[4] ~= '1' and last[1] and last[1] ~= ARGV[2] and last[1] ~= last[2] and last[3] ~= ''
    and string.sub(digests, 1, #last[3]) == last[3] then
  return {'repeat', #last[3] / 4, last[1]}
end

local count, size = tonumber(ARGV[6]), #ARGV[5]
local queued, bytes = (tonumber(last[4]) or 0) + count, (tonumber(last[5]) or 0) + size
if count > 0 then
  if queued > tonumber(ARGV[7]) or bytes > tonumber(ARGV[8]) then return {'full'} end
  redis.call('XADD', events, '*', 'events', ARGV[5])
end
redis.call('HSET', intake, 'token', token, 'digests', digests, 'events', queued, 'bytes', bytes)

local dead_end = 12 + ARGV[11]
for i = 12, dead_end - 1, 3 do
  redis.call('XADD', dead, 'MAXLEN', '~', ARGV[9], '*', 'reason', ARGV[i], 'detail', ARGV[i + 1], 'raw', ARGV[i + 2])
end
for i = dead_end, #ARGV, 2 do
  if ARGV[i + 1] == '' then
    redis.call('HDEL', players, ARGV[i])
  else
    redis.call('HSET', players, ARGV[i], ARGV[i + 1])
  end
end

if ARGV[10] == '1' then
  local time = redis.call('TIME')
  redis.call('SET', contact, string.format('%d', time[1] * 1000 + math.floor(time[2] / 1000)))
end
return {'accepted'}
