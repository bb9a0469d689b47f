-- Notes a 429 for the whole fleet: nobody sends for a while; afterwards it is paced, or sends less at a time.
--
-- KEYS: pause, inflight, pace, ceiling
-- ARGV: the limit that was hit, milliseconds to wait, milliseconds of the limits' window, the most requests at a time,
--       milliseconds the ceiling is kept

local pause, inflight, pace, ceiling = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local limit, wait, window = ARGV[1], math.max(1, tonumber(ARGV[2])), tonumber(ARGV[3])
local most, kept = tonumber(ARGV[4]), tonumber(ARGV[5])

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local was_paused = redis.call('PTTL', pause) > 0

if wait > redis.call('PTTL', pause) then
  redis.call('SET', pause, limit, 'PX', wait)
end

if limit == 'requests' or limit == 'execution_time' then
  if redis.call('HSETNX', pace, 'share', 1) == 1 then
    redis.call('HSET', pace, 'tokens', 0, 'at', now)
  end
  redis.call('HSET', pace, 'limit', limit)
  redis.call('PEXPIRE', pace, wait + window)
end

-- Requests that were on their way together are refused together: that is one reason to lower the ceiling, not many.
if limit == 'concurrency' and not was_paused then
  local known = redis.call('HMGET', ceiling, 'hint', 'lowered')
  local top = math.min(most, tonumber(known[1]) or most, tonumber(known[2]) or most)
  redis.call('HSET', ceiling, 'lowered', math.max(1, math.floor(top * 0.7)), 'changed_at', now + wait)
  redis.call('PEXPIRE', ceiling, kept)
end
