//! Function calls: what a function is, and what that makes of its arguments.

use std::sync::Arc;

use pg_query::protobuf::{FuncCall, Node};

use crate::cast;
use crate::catalog::{Catalog, FIRST_NORMAL_OID, Function, SearchPath};
use crate::complete::Form;
use crate::estimate;
use crate::known;
use crate::scope::Scope;
use crate::statement::{Missing, Place};
use crate::tree::{self, N, boxed, inner};
use crate::value::{Deps, Name, Table, Typed, Val};
use crate::view;
use crate::walk::{Blame, Params, Walk};

/// What a name calls.
enum Class<'c> {
    /// The number of rows or of values that are not NULL, or the type of a value.
    Count,
    /// Passes values on without looking at them.
    Transparent,
    /// Computes from its arguments and nothing else; `volatile` says it may change something.
    Pure { volatile: bool },
    /// Cannot be looked into.
    Opaque { reason: &'static str },
    /// Functions whose body is SQL that can be read, one of which is meant.
    Sql(Vec<&'c Function>),
}

/// Whether `function` can be called with `count` arguments: some may have defaults, and the last
/// may be any number.
fn takes(function: &Function, count: usize) -> bool {
    /// `pg_type.oid` of `any`, `anyarray` and `anycompatiblearray`.
    const VARIADIC: [u32; 3] = [2276, 2277, 5078];
    let wanted = function.arg_types.len();
    let is_open =
        |oid: &u32| *oid >= FIRST_NORMAL_OID || cast::is_array(*oid) || VARIADIC.contains(oid);
    wanted == count
        || (wanted > count && function.defaults.is_some())
        || (wanted <= count + 1 && function.arg_types.last().is_some_and(is_open))
}

impl<'c> Walk<'c> {
    /// A call as a value; as rows too when the function's body tells its columns.
    pub(crate) fn call(
        &mut self,
        call: &FuncCall,
        scope: &Scope<'_, 'c>,
        blame: &Blame,
        place: &Place,
    ) -> (Val, Option<Table>) {
        self.pass_form(Form::Call, call.location);
        if !self.spend(0) {
            return (Val::unknown(), None);
        }
        let parts = tree::strings(&call.funcname);
        let (schema, name) = tree::qualified(&parts);
        if let Some(val) = self.functional_notation(schema, name, call, scope) {
            return (val, None);
        }
        let mut args: Vec<Val> = call.args.iter().map(|arg| self.eval(arg, scope, blame)).collect();
        if call.args.iter().any(|arg| matches!(inner(arg), Some(N::NamedArgExpr(_)))) {
            // Which place a name has differs from function to function.
            let mut all = Val::none();
            for arg in &args {
                all.absorb(arg);
            }
            args.fill(all);
        }
        let ordered = self.sort_inside(&call.agg_order, scope);
        if let Some(filter) = boxed(&call.agg_filter) {
            self.predicate(filter, scope, "FILTER");
        }
        if let Some(over) = &call.over {
            self.window(over, scope);
        }
        if call.agg_distinct {
            self.told_apart("DISTINCT");
            for arg in &args {
                self.blame_place(&arg.deps, &Place::Predicate("DISTINCT"));
            }
        }
        if self.rec.quiet == 0 {
            self.settings(schema, name, &call.args);
            self.sequence_named(name, &call.args);
        }
        let looks = call.func_variadic || self.looks_inside(name, &args, place);
        let (mut val, rows) = self.apply(schema, name, &args, place, looks);
        if call.agg_within_group {
            val.absorb(&ordered);
        }
        if call.over.is_some() || !call.agg_order.is_empty() {
            val.client = false;
        }
        (val, rows)
    }

    /// Whether a function that passes values on looks at these all the same.
    fn looks_inside(&mut self, name: &str, args: &[Val], place: &Place) -> bool {
        let mut all = Val::none();
        for arg in args {
            all.absorb(arg);
        }
        if all.is_long() && !known::one_of_its_values(name) {
            // What is made of it can become too long, by the length of the others.
            return true;
        }
        match name {
            // Which row's value comes back, if any, is by the second argument.
            "lag" | "lead" | "nth_value" => {
                if let [value, _, default] = args {
                    self.unified(&[value.clone(), default.clone()], place);
                }
                if let Some(offset) = args.get(1) {
                    self.blame_place(&offset.deps, place);
                }
                false
            }
            "array_agg" => self.has_dimensions(&all.deps),
            _ if name.starts_with("jsonb_") || name == "to_jsonb" => {
                self.may_not_be_jsonb(&all.deps)
            }
            _ => false,
        }
    }

    /// `column(t)` is `t.column` where `t` is an item and there is no such function.
    fn functional_notation(
        &mut self,
        schema: Option<&str>,
        name: &str,
        call: &FuncCall,
        scope: &Scope<'_, 'c>,
    ) -> Option<Val> {
        let ([arg], None) = (call.args.as_slice(), schema) else { return None };
        let Some(N::ColumnRef(column)) = inner(arg) else { return None };
        let catalog = self.context.catalog;
        if catalog.ships_function(name) || catalog.functions(name).next().is_some() {
            return None;
        }
        // A column goes before a row: what has its fields then is a value like any other.
        let is_system = known::system_column(name);
        self.row_named(arg, scope).filter(|item| is_system || item.has(name))?;
        let field =
            Node { node: Some(N::String(pg_query::protobuf::String { sval: name.into() })) };
        let fields = [column.fields.as_slice(), &[field]].concat();
        self.pass(arg);
        Some(self.column_ref(&fields, scope))
    }

    /// A call whose arguments are known as values only.
    pub(crate) fn call_by_name(
        &mut self,
        schema: Option<&str>,
        name: &str,
        args: Vec<Val>,
        blame: &Blame,
    ) -> Val {
        self.apply(schema, name, &args, &blame.place(name), false).0
    }

    fn apply(
        &mut self,
        schema: Option<&str>,
        name: &str,
        args: &[Val],
        place: &Place,
        looks: bool,
    ) -> (Val, Option<Table>) {
        if self.rec.quiet == 0 {
            self.multiplied(name, matches!(place, Place::FromFunction(_)));
            let shown = match schema {
                None | Some("pg_catalog") => name.into(),
                Some(schema) => format!("{schema}.{name}").into(),
            };
            self.rec.functions.insert(shown);
        }
        let mut all = Val::client();
        for arg in args {
            all.absorb(arg);
        }
        all.pieces = pieces_of(name, args);
        let in_from = matches!(place, Place::FromFunction(_));
        let class = self.classify(schema, name, args.len());
        if in_from || looks || !matches!(class, Class::Count | Class::Transparent) {
            self.blame_place(&all.deps, place);
        }
        if matches!(class, Class::Pure { .. }) && known::ships(name) && known::may_write(name) {
            // A setting, a notification, a sequence, a lock: others can read it there.
            self.blame_place(&all.deps, &Place::Moved(name.into()));
        }
        match class {
            Class::Count => (Val::none(), None),
            Class::Transparent => {
                let typed = match args.first() {
                    Some(first) if known::one_of_its_values(name) => first.typed,
                    _ => Typed::Unsure,
                };
                (Val { client: false, typed, ..all.derived() }, None)
            }
            Class::Pure { volatile } => {
                let client = all.client && !volatile;
                (Val { client, ..all.derived() }, None)
            }
            Class::Opaque { reason } => {
                match reason {
                    "opaque_function" => {}
                    "unknown_object" => self.rec.missing(Missing::Function, name),
                    _ => self.rec.opaque(reason, name),
                }
                (Val { unknown: true, client: false, ..all.derived() }, None)
            }
            Class::Sql(functions) => self.expand(&functions, args),
        }
    }

    /// What a call may add to the rows that the planner takes the statement to have.
    fn multiplied(&mut self, name: &str, in_from: bool) {
        let catalog = self.context.catalog;
        let mut declared = catalog.functions(name).filter(|function| !function.builtin);
        if declared.any(|function| function.returns_set) {
            self.rec.multiplies(estimate::DECLARED);
        }
        if (in_from || estimate::makes_rows(name)) && catalog.ships_function(name) {
            self.rec.multiplies(estimate::function(name));
        }
    }

    fn classify(&mut self, schema: Option<&str>, name: &str, count: usize) -> Class<'c> {
        let catalog = self.context.catalog;
        let path = self.context.path;
        let shipped = matches!(schema, None | Some("pg_catalog" | "information_schema"))
            && (catalog.ships_function(name) || schema == Some("information_schema"));
        let mine: Vec<&'c Function> = catalog
            .functions(name)
            .filter(|function| !function.builtin)
            .filter(|function| match (schema, path) {
                (Some(schema), _) => &*function.schema == schema,
                (None, SearchPath::Unknown) => true,
                (None, SearchPath::Known(schemas)) => {
                    schemas.contains(&function.schema) || &*function.schema == "pg_catalog"
                }
            })
            .filter(|function| !shipped || takes(function, count))
            .collect();
        if shipped {
            self.note_shipped(name);
        }
        if mine.is_empty() {
            return if shipped { shipped_class(name) } else { self.missing(name) };
        }
        let mut sql = Vec::new();
        let mut opaque = None;
        for function in mine {
            match self.reaches(function) {
                Reach::Arguments => {}
                Reach::Body => sql.push(function),
                Reach::Anything => opaque = Some("opaque_function"),
            }
        }
        if let Some(reason) = opaque.or_else(|| known::opaque(name).filter(|_| shipped)) {
            return Class::Opaque { reason };
        }
        if sql.is_empty() { Class::Pure { volatile: false } } else { Class::Sql(sql) }
    }

    fn missing(&mut self, name: &str) -> Class<'c> {
        if self.rec.quiet == 0 {
            self.rec.may_write = true;
            self.rec.dynamic = true;
            self.rec.unresolved.insert(format!("{name}()").into());
        }
        // Functions of extensions that reach files or other backends, by the names they have.
        self.note_shipped(name);
        Class::Opaque { reason: "unknown_object" }
    }

    fn note_shipped(&mut self, name: &str) {
        if self.rec.quiet > 0 {
            return;
        }
        if let Some(word) = known::server_access(name) {
            self.rec.server_access.insert(word);
        }
        if known::shows_backends(name) {
            self.rec.other_backends.insert(name.into());
        }
        self.rec.may_write |= known::ships(name) && known::may_write(name);
        self.rec.dynamic |= known::dynamic(name);
    }

    /// What a function that does not ship with PostgreSQL can reach; recorded.
    pub(crate) fn reaches(&mut self, function: &'c Function) -> Reach {
        if function.builtin {
            return Reach::Arguments;
        }
        let volatile = function.volatility == 'v' && !known::harmless_extension(&function.name);
        let native = matches!(&*function.language, "c" | "internal");
        let reach = if &*function.language == "sql" && function.body.is_some() {
            Reach::Body
        } else if native
            && !function.aggregate
            && (function.volatility == 'i' || known::harmless_extension(&function.name))
        {
            // PostgreSQL lets only superusers make these, and immutable ones see arguments only.
            Reach::Arguments
        } else {
            Reach::Anything
        };
        if self.rec.quiet == 0 {
            self.rec.objects.insert(function.oid);
            self.rec.may_define |= function.may_define && reach != Reach::Body;
            self.rec.may_write |= volatile && reach != Reach::Body;
            self.rec.dynamic |= volatile && reach == Reach::Anything;
            self.note_shipped_by_extension(function);
            if reach == Reach::Anything {
                let name: Arc<str> = format!("{}.{}", function.schema, function.name).into();
                self.rec.opaque("opaque_function", &name);
                // That a function is said to be stable keeps it from nothing: it can call others,
                // and an aggregate's functions are its own. Only superusers make those in C.
                if volatile || !native || function.aggregate {
                    self.rec.acting.insert(Arc::clone(&name));
                }
                if &*function.language == "sql" {
                    self.rec.unwalked.insert(name);
                }
            }
        }
        reach
    }

    fn note_shipped_by_extension(&mut self, function: &Function) {
        if matches!(&*function.language, "c" | "internal") {
            if let Some(word) = known::server_access(&function.name) {
                self.rec.server_access.insert(word);
            }
            if known::shows_backends(&function.name) {
                self.rec.other_backends.insert(Arc::clone(&function.name));
            }
        }
    }

    /// Arguments by place, those left out by what their defaults depend on.
    fn params_of(&mut self, function: &Function, args: &[Val]) -> Params {
        let names = function.arg_names.clone();
        let wanted = function.arg_types.len();
        let mut values = args.to_vec();
        if args.len() > wanted {
            // The last ones are one array.
            let mut all = Val::none();
            for arg in args {
                all.absorb(arg);
            }
            values = vec![all; wanted];
        } else if args.len() < wanted
            && let Some(defaults) = &function.defaults
        {
            let missing = wanted - args.len();
            match view::defaults(self.context, defaults, &mut self.budget) {
                Some((table, rec)) if table.rest.is_none() => {
                    if self.rec.quiet == 0 {
                        self.rec.absorb(rec);
                    }
                    let left_out = table.cols.len().saturating_sub(missing);
                    values.extend(table.cols.into_iter().skip(left_out).map(|col| col.val));
                }
                _ => {
                    if self.rec.quiet == 0 {
                        self.rec.opaque("opaque_function", &function.name);
                        self.rec.acting.insert(Arc::clone(&function.name));
                        self.rec.unwalked.insert(Arc::clone(&function.name));
                    }
                    values.resize(wanted, Val::unknown());
                }
            }
        }
        Params { values, names }
    }

    /// Walks the bodies of functions in SQL with these arguments.
    pub(crate) fn expand(
        &mut self,
        functions: &[&'c Function],
        args: &[Val],
    ) -> (Val, Option<Table>) {
        let mut val = Val::none();
        let mut rows: Option<Table> = None;
        for function in functions {
            let params = self.params_of(function, args);
            if !self.spend(0) {
                return (Val::unknown(), None);
            }
            let Some(body) = view::body(self.context, function, params, &mut self.budget) else {
                if self.rec.quiet == 0 {
                    self.rec.may_define |= function.may_define;
                    self.rec.opaque("opaque_function", &function.name);
                    self.rec.acting.insert(Arc::clone(&function.name));
                    self.rec.unwalked.insert(Arc::clone(&function.name));
                }
                return (Val::unknown(), None);
            };
            if self.rec.quiet == 0 {
                self.rec.absorb(body.rec);
            }
            val.absorb(&body.table.whole());
            rows = Some(columns_of_function(self.context.catalog, function, body.table));
        }
        val.client = false;
        let rows = match functions {
            [_] => rows,
            _ => Some(Table::any(val.clone())),
        };
        (val, rows)
    }

    /// `setval` and `nextval` choose what a default will be.
    fn sequence_named(&mut self, name: &str, args: &[Node]) {
        if !matches!(name, "setval" | "nextval") {
            return;
        }
        let sequence = match args.first().and_then(inner) {
            Some(N::TypeCast(cast)) => boxed(&cast.arg),
            _ => args.first(),
        };
        let text =
            sequence.and_then(|node| tree::constant_node(node, &mut self.rec.literals_matter));
        let sequence = text.as_deref().and_then(last_name);
        self.sequence_moved(sequence.as_deref(), name);
    }

    /// A sequence is moved; any, without a name. What it fills a key with could be chosen with it,
    /// as often as somebody likes.
    pub(crate) fn sequence_moved(&mut self, name: Option<&str>, by: &str) {
        let place = Place::Redefined(by.into());
        for id in self.context.catalog.filled_by(name) {
            self.blame_place(&Deps::one(id), &place);
        }
    }

    /// `set_config` changes settings like SET.
    fn settings(&mut self, schema: Option<&str>, name: &str, args: &[Node]) {
        if name != "set_config" || !matches!(schema, None | Some("pg_catalog")) {
            return;
        }
        let (setting, value) = (args.first(), args.get(1));
        let mut looked = false;
        let name = setting.and_then(|node| tree::constant_node(node, &mut looked));
        let value = value.and_then(|node| tree::constant_node(node, &mut looked));
        self.rec.literals_matter |= looked;
        match name {
            Some(setting) => {
                self.rec.set(&setting.to_lowercase(), value);
            }
            None => {
                let shown = match setting.and_then(inner) {
                    Some(N::ParamRef(param)) => format!("${}", param.number),
                    _ => "?".into(),
                };
                self.rec.set(&shown, None);
                self.rec.changes_search_path = true;
                self.rec.role_change = true;
            }
        }
    }
}

/// The last part of a name as `regclass` reads it; `None` for a number and what is no name.
fn last_name(text: &str) -> Option<String> {
    let mut name = String::new();
    let mut quoted = false;
    let mut characters = text.trim().chars().peekable();
    if characters.peek().is_none_or(|first| !first.is_alphabetic() && !matches!(first, '"' | '_')) {
        return None;
    }
    while let Some(character) = characters.next() {
        match character {
            '"' if quoted && characters.next_if_eq(&'"').is_some() => name.push('"'),
            '"' => quoted = !quoted,
            '.' if !quoted => name.clear(),
            _ if quoted => name.push(character),
            _ if character.is_whitespace() => {}
            _ => name.push(character.to_ascii_lowercase()),
        }
    }
    // Letters beyond ASCII are folded as the server's locale has it, and long names are cut.
    (!quoted && name.is_ascii() && name.len() < 64).then_some(name)
}

/// How long the result of a shipped function can be.
fn pieces_of(name: &str, args: &[Val]) -> u8 {
    let pieces = args.iter().map(|arg| arg.pieces);
    let made = match name {
        _ if known::joins(name) => pieces.fold(0, |sum: u8, more| sum.saturating_add(more.max(1))),
        _ if known::keeps_short(name) => pieces.max().unwrap_or(0),
        _ => Val::LONG,
    };
    made.min(Val::LONG)
}

/// What a function can reach.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Reach {
    /// Nothing but its arguments.
    Arguments,
    /// What its body in SQL says.
    Body,
    /// Anything.
    Anything,
}

fn shipped_class<'c>(name: &str) -> Class<'c> {
    if known::counts(name) {
        return Class::Count;
    }
    if known::transparent(name) {
        return Class::Transparent;
    }
    match known::opaque(name) {
        Some(reason) => Class::Opaque { reason },
        None => Class::Pure { volatile: known::volatile(name) },
    }
}

/// The columns of a function in FROM, from the last query of its body.
fn columns_of_function(catalog: &Catalog, function: &Function, mut body: Table) -> Table {
    for col in &mut body.cols {
        col.val = std::mem::take(&mut col.val).derived();
        col.val.client = false;
    }
    if function.returns_scalar() {
        let val = body.whole();
        return Table { cols: vec![crate::scope::col(Name::Any, val)], rest: None };
    }
    let mut names = function.out_columns().unwrap_or_default();
    if function.out_names.is_empty()
        && let Some(relation) = catalog.relation(function.return_relation)
    {
        // Whatever the body calls them, they have the names of the row type.
        names = crate::scope::live(relation).map(|column| Arc::clone(&column.name)).collect();
    }
    if names.len() == body.cols.len() && body.rest.is_none() && names.len() > 1 {
        body.rename(&names);
        return body;
    }
    let whole = body.whole();
    let cols = names.iter().map(|name| crate::scope::col(Arc::clone(name), whole.clone()));
    Table { cols: cols.collect(), rest: names.is_empty().then_some(whole) }
}
