-- What ordinary statements run on. `payroll` is masked for one of those who run them; nothing else is.
CREATE EXTENSION hstore;
CREATE EXTENSION citext;
CREATE EXTENSION pg_trgm;
CREATE EXTENSION pgcrypto;
SET ROLE keeper;
CREATE TABLE payroll (id int PRIMARY KEY, person text NOT NULL, salary int, iban text UNIQUE, raw json, tags text[]);
INSERT INTO payroll SELECT n, 'p' || n, 1000 + n * 37 % 900, 'DE' || n, '{"a": 1}', '{x}' FROM generate_series(1, 20) n;
CREATE TYPE order_state AS ENUM ('open', 'paid', 'sent', 'back');
CREATE TYPE address AS (street text, zip text);
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE TABLE users (
    id bigserial PRIMARY KEY, email citext UNIQUE NOT NULL, name varchar(80) NOT NULL, age int CHECK (age > 0),
    active boolean NOT NULL DEFAULT true, score numeric(8, 2), born date, home address, tags text[] DEFAULT '{}',
    settings jsonb NOT NULL DEFAULT '{}', extra hstore, created_at timestamptz NOT NULL DEFAULT '2026-01-02 03:04:05+00',
    lower_name text GENERATED ALWAYS AS (lower(name)) STORED
);
CREATE TABLE categories (id int PRIMARY KEY, parent_id int REFERENCES categories, title text NOT NULL);
CREATE TABLE products (
    id serial PRIMARY KEY, sku text UNIQUE NOT NULL, title text NOT NULL, category_id int REFERENCES categories ON DELETE SET NULL,
    price numeric(10, 2) NOT NULL CHECK (price >= 0), stock positive DEFAULT 5, attrs jsonb DEFAULT '{}', search tsvector, photo bytea
);
CREATE TABLE orders (
    id serial PRIMARY KEY, user_id bigint NOT NULL REFERENCES users ON DELETE CASCADE, state order_state NOT NULL DEFAULT 'open',
    placed timestamptz NOT NULL, note text, period daterange
);
CREATE TABLE order_items (
    order_id int REFERENCES orders ON DELETE CASCADE, product_id int REFERENCES products, quantity int NOT NULL CHECK (quantity > 0),
    price numeric(10, 2) NOT NULL, PRIMARY KEY (order_id, product_id)
);
CREATE INDEX ON order_items (product_id);
CREATE INDEX ON products USING gin (search);
CREATE INDEX users_name ON users (lower(name)) WHERE active;
CREATE TABLE measures (at timestamptz NOT NULL, sensor int NOT NULL, value float8) PARTITION BY RANGE (at);
CREATE TABLE measures_1 PARTITION OF measures FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
CREATE TABLE measures_2 PARTITION OF measures FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
CREATE TABLE posts (id int PRIMARY KEY, title text);
CREATE TABLE special_posts (reason text) INHERITS (posts);
CREATE VIEW active_users AS SELECT id, name, email FROM users WHERE active;
CREATE VIEW order_totals AS SELECT o.id, o.user_id, sum(i.quantity * i.price) AS total FROM orders o JOIN order_items i ON i.order_id = o.id GROUP BY o.id;
CREATE MATERIALIZED VIEW sales AS SELECT product_id, sum(quantity) AS sold FROM order_items GROUP BY product_id WITH NO DATA;
CREATE FUNCTION full_price(numeric, numeric DEFAULT 0.2) RETURNS numeric LANGUAGE sql IMMUTABLE AS 'SELECT round($1 * (1 + $2), 2)';
CREATE FUNCTION orders_of(bigint) RETURNS SETOF orders LANGUAGE sql STABLE AS 'SELECT * FROM orders WHERE user_id = $1 ORDER BY id';
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.note := coalesce(NEW.note, ''touched''); RETURN NEW; END';
CREATE TRIGGER touched BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION touch();
CREATE TABLE alembic_version (version_num varchar(32) NOT NULL PRIMARY KEY);
INSERT INTO categories VALUES (1, NULL, 'all'), (2, 1, 'food'), (3, 1, 'tools'), (4, 2, 'fruit');
INSERT INTO users (email, name, age, score, born, home, tags, settings, extra)
SELECT 'u' || n || '@x.example', 'User ' || n, 20 + n, n * 1.5, date '1990-01-01' + n, ('street ' || n, n::text)::address,
    ARRAY['t' || n % 3, 'all'], jsonb_build_object('theme', CASE n % 2 WHEN 0 THEN 'dark' ELSE 'light' END, 'n', n), hstore('k', n::text)
FROM generate_series(1, 30) n;
INSERT INTO products (sku, title, category_id, price, attrs, search, photo)
SELECT 'SKU-' || n, 'Product ' || n, 2 + n % 3, n * 3.25, jsonb_build_object('color', (ARRAY['red', 'blue'])[1 + n % 2], 'size', n),
    to_tsvector('simple', 'product ' || n), decode(lpad(to_hex(n), 4, '0'), 'hex')
FROM generate_series(1, 25) n;
INSERT INTO orders (user_id, state, placed, period)
SELECT 1 + n % 30, (enum_range(NULL::order_state))[1 + n % 4], timestamptz '2026-01-01 00:00+00' + n * interval '7 hours', daterange('2026-01-01', date '2026-01-02' + n)
FROM generate_series(1, 60) n;
INSERT INTO order_items SELECT 1 + n % 60, 1 + n % 25, 1 + n % 5, 3.25 * (1 + n % 25) FROM generate_series(1, 140) n;
INSERT INTO measures SELECT timestamptz '2026-01-15 00:00+00' + n * interval '12 hours', n % 3, n * 0.5 FROM generate_series(1, 60) n;
INSERT INTO posts VALUES (1, 'one');
INSERT INTO special_posts VALUES (2, 'two', 'why not');
REFRESH MATERIALIZED VIEW sales;
RESET ROLE;
