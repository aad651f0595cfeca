#!lua
-- Appends one batch of events, all or nothing. It is on the hot path: each further call of Redis costs throughput.
-- If the memory is full, Redis refuses the script before it does anything (no allow-oom above): the mod keeps its events.
--
-- KEYS  events, intake, dead, players, contact
-- ARGV   1 token        random and of one length, new for each POST; the same when the call itself is repeated
--        2 answered     tokens of the batches that the caller knows to be answered
--        3 digests      4 bytes for each event as the mod sent it
--        4 cut          number of events that the caller cut off at the head, because this script found them to be a repeat
--        5 received_us  when the POST came, on Redis' clock; it may be late, never early
--        6 deadline_us  when the caller gives up: the mod sends the batch again then, so a later run must store nothing
--        7 events       JSON list of game events, "" when none is left
--        8 count        number of those events
--        9 max_events   number of events that may wait in the stream
--       10 max_bytes    and their bytes
--       11 max_dead     length of the dead-letter stream
--       12 heard        "1": store the time as that of the mod's last contact
--       13 sender       "" for the mod; another sender's batches are remembered in fields with this prefix
--       14 distinctive  the length of the shortest head of the batch that has two different events and one that is not a
--                       log line; a great number if no head has
--       15 channel      publish a hint there, which brings the batch along (uplink/events/consumer.py); "": none
--       16              number of arguments that follow for dead letters: reason, detail, raw
--                       the rest are players: gameId, record; an empty record deletes the player
--
-- Returns {word, now_us, place, n}: where the batch is remembered (1 to 4), and the number of events at its head that were
-- stored before. The word is
--   "accepted"    the whole batch is stored
--   "full"        no room for it: nothing was stored
--   "late"        the deadline has passed: nothing was stored
--   "overtaken"   a repeat of this POST was faster and is stored: the mod has given this POST up
--   "repeat"      nothing was stored yet: the caller cuts the first n events off and calls again
--
-- How a repeat is recognised. A mod sends one batch at a time. If it gets no answer, it puts the same events at the head
-- of its next batch. So if a remembered batch is the head of this batch, that head is a repeat
--   1. while it is unknown whether the mod got the answer: until its note (f1..f4) says so, or a later POST began with other events;
--   2. if both POSTs were under way at once: then the mod has given up the earlier one, whatever its note says;
--   3. if the remembered batch is the last one, at most 30 s old, and long enough for 14: no honest batch looks like it, and
--      a proxy may have lost an answer that was noted as sent.
-- The last four batches of each sender are remembered: b1..b4 "digests token accepted_us received_us" (each number has
-- 16 digits, so they are found from the end), 'slot' has the place of the last one, f1..f4 say whether the mod has the answer:
-- "token" if it has, "!token" if it has not.
local events, intake, dead, players, contact = unpack(KEYS)
local token, digests, cut, sender = ARGV[1], ARGV[3], tonumber(ARGV[4]), ARGV[13]
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
if now > tonumber(ARGV[6]) then return {'late', now, 0, 0} end
local received = math.min(tonumber(ARGV[5]), now - 1)

local b = sender .. 'b'
local minute = math.floor(now / 60000000)
local tally = 'm' .. minute % 60
local stored = redis.call('HMGET', intake, 'events', 'bytes', sender .. 'slot', b .. 1, b .. 2, b .. 3, b .. 4, tally)
local last = tonumber(stored[3]) or 0
local place, repeated_bytes, first = last % 4 + 1, 0, string.sub(digests, 1, 4)
for i = 1, 4 do
  local batch = stored[3 + i]
  if batch and string.sub(batch, 1, 4) == first then -- rare: nearly all of the work is inside
    local batch_digests = string.sub(batch, 1, -36 - #token)
    local batch_token = string.sub(batch, -34 - #token, -35)
    local batch_accepted, batch_received = tonumber(string.sub(batch, -33, -18)), tonumber(string.sub(batch, -16))
    -- Both POSTs were under way at once. A batch that was accepted later than now says that the clock was set back.
    local at_once = received < batch_accepted and batch_accepted <= now
    local answer
    if batch_token == token then -- the caller repeats this call: it got no reply
      answer = {'accepted', now, i, cut}
    elseif at_once and received <= batch_received and string.sub(batch_digests, 1, #digests) == digests then
      answer = {'overtaken', now, 0, #digests / 4}
    end
    if answer then
      redis.call('HSET', intake, sender .. 'slot', last) -- changes nothing: WAIT needs a write (run_until in store/client.py)
      return answer
    end
    local note = redis.call('HGET', intake, sender .. 'f' .. i)
    local answered = note == batch_token or string.find(ARGV[2], batch_token, 1, true)
      or (i ~= last and (batch_accepted > now or tonumber(string.sub(stored[3 + last], -16)) >= batch_accepted))
    local distinctive = i == last and #batch_digests / 4 >= tonumber(ARGV[14])
      and batch_accepted <= now and now - batch_accepted <= 30000000
    local may_repeat = (at_once and received > batch_received) or note == '!' .. batch_token or not answered or distinctive
    if may_repeat and #batch_digests > repeated_bytes and string.sub(digests, 1, #batch_digests) == batch_digests then
      repeated_bytes, place = #batch_digests, i
    end
  end
end
local repeated = repeated_bytes / 4
local nothing_new = repeated_bytes == #digests
if repeated ~= cut and not nothing_new then return {'repeat', now, place, repeated} end

local count, size = tonumber(ARGV[8]), #ARGV[7]
if nothing_new then count, size = 0, 0 end
local queued, bytes = (tonumber(stored[1]) or 0) + count, (tonumber(stored[2]) or 0) + size
if count > 0 then
  if queued > tonumber(ARGV[9]) or bytes > tonumber(ARGV[10]) then return {'full', now, 0, 0} end
  -- A reader that has not read what waits cannot use the batch, so only the hint of a short queue brings it.
  local brings = ARGV[15] ~= '' and queued <= 64
  local newest = brings and redis.call('XREVRANGE', events, '+', '-', 'COUNT', 1)[1]
  -- Ids never go back, but the clock may: so its reading is stored too (store/clock.py).
  local at = string.format('%d', now / 1000)
  local id = redis.call('XADD', events, '*', 'events', ARGV[7], 'at', at)
  if ARGV[15] ~= '' then
    -- A user without a right to the channel must not end the script here: the caller would repeat what is stored.
    -- "slug ", and on a second line the id of the entry before it (or nothing), its id, `at`, and the events
    local batch = brings and table.concat({newest and newest[1] or '', id, at, ARGV[7]}, ' ') or ''
    redis.pcall('PUBLISH', ARGV[15], string.match(events, '{(.*)}') .. ' \n' .. batch)
  end
end

-- Number of events accepted in each of the last 60 minutes: m0..m59 "minute count", in minutes since 1970.
local counted_minute, counted = string.match(stored[8] or '', '^(%d+) (%d+)$')
counted_minute = tonumber(counted_minute)
if counted_minute ~= minute then
  if counted_minute then -- its field is needed again: move its count to its half hour in 'day', "half-hour count" of 24 hours
    local day, half, total = {}, math.floor(counted_minute / 30), counted
    for number, events_of in string.gmatch(redis.call('HGET', intake, 'day') or '', '(%d+) (%d+)') do
      if tonumber(number) == half then
        total = total + events_of
      elseif math.abs(minute / 30 - number) < 49 then
        day[#day + 1] = number .. ' ' .. events_of
      end
    end
    day[#day + 1] = half .. ' ' .. total
    redis.call('HSET', intake, 'day', table.concat(day, ' '))
  end
  counted = 0
end
-- `place` is that of the remembered batch that this one repeats, or the oldest one. Remember this batch even if nothing in
-- it is new: it has the time of this POST, by which an older POST of the same events is found to be overtaken.
redis.call('HSET', intake, b .. place, digests .. string.format(' %s %016d %016d', token, now, received),
  sender .. 'slot', place, 'events', queued, 'bytes', bytes, tally, minute .. ' ' .. counted + count)
if nothing_new then return {'accepted', now, place, repeated} end

local dead_end = 17 + ARGV[16]
for i = 17, dead_end - 1, 3 do
  redis.call('XADD', dead, 'MAXLEN', '~', ARGV[11], '*', 'reason', ARGV[i], 'detail', ARGV[i + 1], 'raw', ARGV[i + 2])
end
for i = dead_end, #ARGV, 2 do
  if ARGV[i + 1] == '' then
    redis.call('HDEL', players, ARGV[i])
  else
    redis.call('HSET', players, ARGV[i], ARGV[i + 1])
  end
end

if ARGV[12] == '1' then redis.call('SET', contact, string.format('%d', now / 1000)) end
return {'accepted', now, place, repeated}
