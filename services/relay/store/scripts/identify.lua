#!lua flags=allow-oom
-- Stores which uplink identifies at Takaro: Takaro sends its requests to the socket that identified last, and does not say
-- which one that is.
--
-- KEYS  lease, link
-- ARGV  1 token
--       2 "begins": an identify is about to be sent; "answered": Takaro has accepted it
--       3 "1": refuse if the lease is not ours
--
-- Returns 1, or 0 if it was refused.
--
-- `newest` in the link's hash is "token" if the uplink with this token identified last, or "?token" if it identifies now
-- and no other identify is open. If identifies overlap, nobody knows which came last: "?- token ..." names those that have
-- begun and have no answer yet, and the "-" stays until an identify begins while no other one is open. One of our own is
-- open, too, if its socket was lost before the answer: Takaro may still take it, and after the next one.
if ARGV[3] == '1' and redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] then return 0 end

local newest, others, ours_open = redis.call('HGET', KEYS[2], 'newest') or '', {}, false
for token in string.gmatch(string.match(newest, '^%?(.*)$') or '', '[^ ]+') do
  if token == ARGV[1] then ours_open = true elseif token ~= '-' then table.insert(others, token) end
end
while #others > 7 do table.remove(others, 1) end -- uplinks that crash again and again must not let it grow

if ARGV[2] == 'begins' then
  local alone = #others == 0 and not ours_open
  table.insert(others, ARGV[1])
  newest = alone and '?' .. ARGV[1] or table.concat({'?-', unpack(others)}, ' ')
elseif newest == '?' .. ARGV[1] or newest == ARGV[1] then
  newest = ARGV[1]
else
  newest = table.concat({'?-', unpack(others)}, ' ')
end
redis.call('HSET', KEYS[2], 'newest', newest)
return 1
