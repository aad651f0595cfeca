#!lua flags=allow-oom
-- Stores what uplink knows of the game, if the lease is still its own.
-- A full memory does not stop it: it keeps the state of the game true, and is bounded by the game.
--
-- KEYS  lease, mirror, catalogues
-- ARGV  1 lease token, 2 how many arguments follow for the mirror, the rest is for the catalogues:
--       field, value, field, value...; "" takes the field away
--
-- Returns 1, or 0 when the lease is lost.
if redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] then return 0 end
local catalogues_from = 3 + ARGV[2]
for i = 3, #ARGV, 2 do
  local key = i < catalogues_from and KEYS[2] or KEYS[3]
  if ARGV[i + 1] == '' then
    redis.call('HDEL', key, ARGV[i])
  else
    redis.call('HSET', key, ARGV[i], ARGV[i + 1])
  end
end
return 1
