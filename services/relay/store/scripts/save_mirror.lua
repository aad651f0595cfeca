#!lua flags=allow-oom
-- Stores the changed fields of the mirror, if the lease is still ours.
-- It may run when the memory is full: otherwise the stored mirror would become wrong. The game bounds its size.
--
-- KEYS  lease, mirror, catalogues
-- ARGV  1 lease token, 2 how many arguments follow for the mirror, the rest is for the catalogues:
--       field, value, field, value...; an empty value deletes the field
--
-- Returns 1, or 0 if the lease is not ours.
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
