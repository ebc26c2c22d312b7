-- The shop's database, for a role `app` that the gateway uses.
CREATE SCHEMA clerk;
CREATE TABLE clerk.customers (
    id int PRIMARY KEY, name text, email text, ssn text, credit_card text, note text
);
INSERT INTO clerk.customers
SELECT n, 'Customer ' || n, 'customer' || n || '@shop.example', '536-22-' || (8000 + n),
    '4012888888881881', 'asked to keep card 5555 5555 5555 4444 on file'
FROM generate_series(1, 500) AS n;
CREATE TABLE clerk.orders (id int PRIMARY KEY, customer int, state text);
INSERT INTO clerk.orders
SELECT n, n, CASE WHEN n % 5 = 0 THEN 'open' ELSE 'shipped' END FROM generate_series(1, 500) AS n;
GRANT USAGE ON SCHEMA clerk TO app;
GRANT SELECT ON ALL TABLES IN SCHEMA clerk TO app;
