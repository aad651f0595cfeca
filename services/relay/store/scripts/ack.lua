#!lua flags=allow-oom
-- Deletes delivered events from the stream, if the lease is still ours. It may run when the memory is full, because it
-- frees memory.
--
-- KEYS  lease, events, intake
-- ARGV  1 lease token
--       2 entry      the oldest stream entry that is still needed
--       3 skip       how many of its events are delivered already
--       4 ahead      "id:mask id:mask": entries of which later events are delivered; the mask (hex) has a bit for each
--                    event that is still needed; or ""
--       5 delivered  events ever delivered or dropped, as the owner counts them
--       6 count      events delivered or dropped since the last call
--       7 bytes      size of the entries that are deleted
--         the rest   ids of entries of which nothing is needed, wherever they are in the stream
--
-- Returns 1; or 0 if another uplink has the lease, -1 if it has expired and nobody has it (Redis was away, and we are
-- back before the next renewal): then nothing is changed. A call whose `delivered` is not above the stored one is a
-- repeat after a lost reply, or was delayed until after the next call: it changes nothing.
-- An older version of the relay does not write `ahead` and `delivered`: what `ahead` says of its entries stays true.
local lease, events, intake = unpack(KEYS)
local owner = redis.call('HGET', lease, 'token')
if not owner then return -1 end
if owner ~= ARGV[1] then return 0 end
local known = redis.call('HMGET', intake, 'delivered', 'events', 'bytes', 'ahead')
if tonumber(ARGV[5]) <= (tonumber(known[1]) or 0) then
  redis.call('HSET', intake, 'delivered', known[1] or 0) -- nothing new, for WAIT (run_until in store/client.py)
  return 1
end

redis.call('XTRIM', events, 'MINID', ARGV[2])
if #ARGV > 7 then redis.call('XDEL', events, unpack(ARGV, 8)) end
-- After a failover to a replica that lagged behind, the stored counts do not match the acknowledged events. They can
-- be wrong then until the stream is empty, but are never negative.
local left = redis.call('XLEN', events)
redis.call('HSET', intake, 'cursor', ARGV[2] .. ' ' .. ARGV[3], 'delivered', ARGV[5],
  'events', left == 0 and 0 or math.max(0, (tonumber(known[2]) or 0) - ARGV[6]),
  'bytes', left == 0 and 0 or math.max(0, (tonumber(known[3]) or 0) - ARGV[7]))
if ARGV[4] ~= '' then
  redis.call('HSET', intake, 'ahead', ARGV[4])
elseif known[4] then
  redis.call('HDEL', intake, 'ahead')
end
return 1
