#!lua flags=allow-oom
-- Takes delivered events off the stream, if the lease is still ours. It shrinks: a full memory drains by it.
--
-- KEYS  lease, events, intake
-- ARGV  1 lease token
--       2 entry      the oldest stream entry that is still needed
--       3 skip       how many of its events are delivered already
--       4 ahead      of which entries more is delivered: "id:mask id:mask", the mask (hex) of those that are needed; or ""
--       5 delivered  events ever taken off this stream, by the count of whoever owns it
--       6 count      events delivered since the last call
--       7 bytes      size of the entries that go
--         the rest   entries of which nothing is needed, wherever they stand
--
-- Returns 1, or when nothing was touched 0: another has the lease, or -1: it ran out and nobody has it (Redis was
-- away, and we are back before the next renewal). A call that has delivered no more than is known is one
-- that was repeated after a lost reply, or was stuck on its way while the next one came through: it counts for nothing.
-- Versions that know nothing of `ahead` and `delivered` leave both as they are: it stays true of the entries it names.
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
-- After a fail-over to a replica that lagged behind, the counts are of other events than those acknowledged.
-- They can be off then until the stream is empty, but never below what is there.
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
