-- The sample database of ./quickstart and of the end-to-end tests: shop customers and their orders.
-- Names, cards and numbers are made up; the cards are of the range kept for tests and pass the Luhn check.

CREATE TABLE customers (
    id          integer PRIMARY KEY,
    name        text NOT NULL,
    email       text NOT NULL,
    ssn         text NOT NULL,
    credit_card text NOT NULL,
    city        text NOT NULL,
    joined      date NOT NULL
);

CREATE TABLE orders (
    id          integer PRIMARY KEY,
    customer_id integer NOT NULL REFERENCES customers,
    item        text NOT NULL,
    amount      numeric(10, 2) NOT NULL,
    placed      timestamptz NOT NULL
);

CREATE FUNCTION pg_temp.with_check_digit(digits text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT digits || ((10 - sum(CASE WHEN at % 2 = 1 THEN (d * 2) / 10 + (d * 2) % 10 ELSE d END) % 10) % 10)
    FROM (SELECT at, substr(reverse(digits), at, 1)::int AS d FROM generate_series(1, length(digits)) AS at) AS each
$$;

INSERT INTO customers
SELECT n,
       (ARRAY['Ada','Ben','Chidi','Dana','Emil','Farah','Grace','Hugo','Ines','Jun'])[1 + n % 10] || ' ' ||
       (ARRAY['Abel','Brandt','Castro','Duarte','Eriksen','Fischer','Gupta'])[1 + n % 7],
       'customer' || n || '@shop.example',
       lpad((101 + n % 560)::text, 3, '0') || '-' || lpad((10 + n % 89)::text, 2, '0') || '-' || lpad((1000 + n % 8999)::text, 4, '0'),
       pg_temp.with_check_digit('411111' || lpad((n * 7919::bigint % 1000000000)::text, 9, '0')),
       (ARRAY['Lisbon','Lagos','Lyon','Lima','Lahore'])[1 + n % 5],
       date '2021-01-01' + n % 1800
FROM generate_series(1, 60000) AS n;

INSERT INTO orders
SELECT n, 1 + n * 31 % 60000,
       (ARRAY['lamp','chair','desk','kettle','rug'])[1 + n % 5],
       (5 + n % 400)::numeric + 0.95,
       timestamptz '2026-01-01 00:00+00' + n * interval '1 minute'
FROM generate_series(1, 100000) AS n;

CREATE INDEX ON orders (customer_id);
ANALYZE;
