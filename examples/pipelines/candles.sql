-- Candles: open, high, low and close by symbol and minute.
-- first_value and last_value need an order: that of arrival differs from run to run, that of event time does not.
-- Trades of the same instant are told apart by their price.
SELECT
    window_start,
    window_end,
    symbol,
    first_value(price ORDER BY ts, price) AS open,
    max(price) AS high,
    min(price) AS low,
    last_value(price ORDER BY ts, price) AS close,
    sum(size) AS volume,
    sum(price * size) / sum(size) AS average_price
FROM tumble(trades, INTERVAL '1 minute')
GROUP BY window_start, window_end, symbol
