-- Notes what an answer said: how many requests at a time Dataverse recommends, and how much of the limits is left.
--
-- KEYS: pace, ceiling
-- ARGV: the recommendation (empty: unknown), share of the full pace (empty: unknown), the limit it is about,
--       milliseconds of the limits' window, milliseconds the ceiling is kept

local pace, ceiling = KEYS[1], KEYS[2]
local hint, share, limit = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
local window, kept = tonumber(ARGV[4]), tonumber(ARGV[5])

if hint then
  redis.call('HSET', ceiling, 'hint', hint)
  redis.call('PEXPIRE', ceiling, kept)
end

if share and share < 1 then
  if redis.call('HSETNX', pace, 'tokens', 0) == 1 then
    local time = redis.call('TIME')
    redis.call('HSET', pace, 'at', time[1] * 1000 + math.floor(time[2] / 1000))
  end
  redis.call('HSET', pace, 'share', share, 'limit', limit)
  redis.call('PEXPIRE', pace, math.max(window, redis.call('PTTL', pace)))
elseif share and redis.call('EXISTS', pace) == 1 then
  redis.call('HSET', pace, 'share', 1)
end
