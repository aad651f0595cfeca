#!lua
-- Appends one batch of events, whole or not at all. On the hot path: every call of Redis counts.
-- A full memory refuses it, before anything is touched (no allow-oom above): the mod keeps its events.
--
-- KEYS  events, intake, dead, players, contact
-- ARGV   1 token        random and of one length, new for each POST; the same when the call itself is repeated
--        2 answered     tokens of batches whose answer the mod has, as far as the caller knows
--        3 digests      4 bytes for each event as the mod sent it
--        4 cut          so many at the head were left out, for this script said that they are a repeat
--        5 received_us  when the POST came, on Redis' clock; if not exactly, then too late
--        6 deadline_us  when its caller gives up: the mod then sends it again, so it must not come to life
--        7 events       JSON list of game events, "" when none is left
--        8 count        how many
--        9 max_events   what may wait in the stream
--       10 max_bytes
--       11 max_dead     length of the dead-letter stream
--       12 heard        "1": note the time of contact
--       13 sender       "" for the mod; what another one has sent is remembered in fields of that prefix
--       14 telling      of so many events at its head at least two differ and one is no log line; if never, a great number
--       15              how many arguments follow for dead letters: reason, detail, raw
--                       the rest is for players: gameId, record; "" forgets them
--
-- Returns {word, now_us, slot, n}: the slot in which it is remembered, and how many at its head were stored before.
--   "accepted"    all of it is stored
--   "full"
--   "late"        past the deadline
--   "overtaken"   what repeats this POST was faster, and is stored: the mod has given this one up
--   "repeat"      nothing was done yet: the caller cuts the first n events off and calls again
--
-- How a repeat is recognised. A mod sends a batch, waits until it is answered or given up, and repeats what it gave up
-- at the head of the next one. So a batch that stands at the head of this one is a repeat
--   1. while its answer is in doubt: until its fate is noted, or a POST that came later began with something else;
--   2. if both POSTs were under way at once: then the mod has given up the one that came first, whatever was noted;
--   3. if it is the last one, at most 30 s old and telling: then no honest twin looks like it, but an answer that left for
--      a proxy is noted though the mod may never have had it.
-- Of each sender the last four batches are remembered: b1..b4 "digests token accepted_us received_us" (a number has 16
-- digits, to be found from the end), `slot` which one is the last, f1..f4 their fate: "token" once the mod has its
-- answer, "!token" if it is known to have none.
local events, intake, dead, players, contact = unpack(KEYS)
local token, digests, sender = ARGV[1], ARGV[3], ARGV[13]
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
if now > tonumber(ARGV[6]) then return {'late', now, 0, 0} end
local received = math.min(tonumber(ARGV[5]), now - 1)

local b = sender .. 'b'
local minute = math.floor(now / 60000000)
local tally = 'm' .. minute % 60
local kept = redis.call('HMGET', intake, 'events', 'bytes', sender .. 'slot', b .. 1, b .. 2, b .. 3, b .. 4, tally)
local last = tonumber(kept[3]) or 0
local slot, same, first = last % 4 + 1, 0, string.sub(digests, 1, 4)
for i = 1, 4 do
  local batch = kept[3 + i]
  if batch and string.sub(batch, 1, 4) == first then -- seldom: nearly all of the work is behind this
    local theirs = string.sub(batch, 1, -36 - #token)
    local name = string.sub(batch, -34 - #token, -35)
    local accepted, came = tonumber(string.sub(batch, -33, -18)), tonumber(string.sub(batch, -16))
    local at_once = received < accepted and accepted <= now -- else the clock was set back
    local stored = name == token and {'accepted', now, i, tonumber(ARGV[4])} -- this very call, after a lost reply
      or at_once and received <= came and string.sub(theirs, 1, #digests) == digests
        and {'overtaken', now, 0, #digests / 4}
    if stored then
      redis.call('HSET', intake, sender .. 'slot', last) -- nothing new, for WAIT (run_until in store/client.py)
      return stored
    end
    local fate = redis.call('HGET', intake, sender .. 'f' .. i)
    local settled = fate == name or string.find(ARGV[2], name, 1, true)
      or (i ~= last and (accepted > now or tonumber(string.sub(kept[3 + last], -16)) >= accepted))
    local telling = i == last and #theirs / 4 >= tonumber(ARGV[14]) and accepted <= now and now - accepted <= 30000000
    local doubtful = (at_once and received > came) or fate == '!' .. name or not settled or telling
    if doubtful and #theirs > same and string.sub(digests, 1, #theirs) == theirs then
      same, slot = #theirs, i
    end
  end
end
same = same / 4
local whole = same == #digests / 4 -- then this one stands for it from now on: what is overtaken is seen by its time
if same ~= tonumber(ARGV[4]) and not whole then return {'repeat', now, slot, same} end

local count, size = tonumber(ARGV[8]), #ARGV[7]
if whole then count, size = 0, 0 end
-- How many were accepted in each of the last 60 minutes: m0..m59 "minute count", minutes since 1970.
local of, accepted = string.match(kept[8] or '', '^(%d+) (%d+)$')
if tonumber(of) ~= minute then accepted = 0 end
local queued, bytes = (tonumber(kept[1]) or 0) + count, (tonumber(kept[2]) or 0) + size
if count > 0 then
  if queued > tonumber(ARGV[9]) or bytes > tonumber(ARGV[10]) then return {'full', now, 0, 0} end
  -- An id never goes back, a clock that is set back does: what it showed is kept besides (store/clock.py).
  redis.call('XADD', events, '*', 'events', ARGV[7], 'at', string.format('%d', now / 1000))
end
-- In the slot of what it repeats: that batch is a part of this one now.
redis.call('HSET', intake, b .. slot, digests .. string.format(' %s %016d %016d', token, now, received),
  sender .. 'slot', slot, 'events', queued, 'bytes', bytes, tally, minute .. ' ' .. accepted + count)
if whole then return {'accepted', now, slot, same} end

local dead_end = 16 + ARGV[15]
for i = 16, dead_end - 1, 3 do
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
return {'accepted', now, slot, same}
