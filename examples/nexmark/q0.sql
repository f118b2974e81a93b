-- Nexmark 0: what every bid costs to pass through.
SELECT auction, bidder, price, date_time, extra
FROM bid
