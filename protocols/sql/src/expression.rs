//! Expressions: what a value depends on, and what looks into it on the way.

use pg_query::protobuf::{
    AExpr, AExprKind, BoolExprType, BoolTestType, FuncCall, JsonAggConstructor, JsonFormatType,
    JsonOutput, JsonValueExpr, Node, SortBy, SubLink, SubLinkType, TypeCast, TypeName,
};

use crate::call::Reach;
use crate::catalog::{FIRST_NORMAL_OID, SearchPath};
use crate::known;
use crate::operand;
use crate::query::is_expansion;
use crate::scope::{Columns, Scope};
use crate::statement::Place;
use crate::tree::{self, N, boxed, inner};
use crate::value::Val;
use crate::walk::{Blame, Walk};

impl<'c> Walk<'c> {
    /// What an expression's value depends on. Operations that look into a value are blamed.
    pub(crate) fn eval(&mut self, node: &Node, scope: &Scope<'_, 'c>, blame: &Blame) -> Val {
        if !self.spend(0) {
            return Val::unknown();
        }
        self.pass(node);
        let val = self.value_of(node, scope, blame);
        self.spend(val.deps.len());
        val
    }

    fn value_of(&mut self, node: &Node, scope: &Scope<'_, 'c>, blame: &Blame) -> Val {
        match inner(node) {
            Some(N::ColumnRef(column)) => self.column_ref(&column.fields, scope),
            Some(N::AConst(_)) => Val::literal(),
            Some(N::SetToDefault(_)) => Val::client(),
            Some(N::ParamRef(param)) => {
                if self.params.is_none() {
                    self.rec.parameters.insert((param.number, param.location));
                }
                self.param(param.number)
            }
            Some(N::TypeCast(cast)) => self.cast(cast, scope, blame),
            Some(N::AExpr(expr)) => self.operation(expr, scope, blame),
            Some(N::BoolExpr(expr)) => {
                let word = match BoolExprType::try_from(expr.boolop) {
                    Ok(BoolExprType::AndExpr) => "AND",
                    Ok(BoolExprType::OrExpr) => "OR",
                    _ => "NOT",
                };
                let val = self.eval_all(&expr.args, scope, blame);
                self.blamed(val, blame, word)
            }
            Some(N::NullTest(test)) => self.null_test(boxed(&test.arg), scope, blame),
            Some(N::BooleanTest(test)) => {
                use BoolTestType::{IsNotUnknown, IsUnknown};
                if matches!(BoolTestType::try_from(test.booltesttype), Ok(IsUnknown | IsNotUnknown))
                {
                    return self.null_test(boxed(&test.arg), scope, blame);
                }
                let val = self.eval_opt(&test.arg, scope, blame);
                self.blamed(val, blame, "IS TRUE")
            }
            Some(N::FuncCall(call)) => self.call_value(call, scope, blame),
            Some(N::SubLink(link)) => self.sublink(link, scope, blame),
            Some(N::CaseExpr(case)) => {
                let mut val = Val::client();
                val.absorb(&self.eval_opt(&case.arg, scope, blame));
                val.absorb(&self.eval_opt(&case.defresult, scope, blame));
                for when in &case.args {
                    if let Some(N::CaseWhen(when)) = inner(when) {
                        val.absorb(&self.eval_opt(&when.expr, scope, blame));
                        val.absorb(&self.eval_opt(&when.result, scope, blame));
                    }
                }
                self.blamed(val, blame, "CASE")
            }
            Some(N::CoalesceExpr(expr)) => self.together(&expr.args, scope, blame, "COALESCE"),
            Some(N::MinMaxExpr(expr)) => {
                let mut val = self.eval_all(&expr.args, scope, blame);
                self.custom_order(&mut val);
                self.blamed(val, blame, "GREATEST/LEAST")
            }
            Some(N::RowExpr(row)) => self.row(&row.args, scope, blame),
            Some(N::AArrayExpr(array)) => {
                let val = self.together(&array.elements, scope, blame, "ARRAY");
                let several = array.elements.len() > 1 && self.has_dimensions(&val.deps);
                // One is a dimension more, and there is a limit to those.
                if several || self.is_array(&val.deps) {
                    self.blame(&val.deps, blame, "ARRAY");
                }
                val
            }
            Some(N::List(list)) => self.eval_all(&list.items, scope, blame),
            Some(N::AIndirection(_) | N::CollateClause(_) | N::NamedArgExpr(_)) => {
                self.wrapped(node, scope, blame)
            }
            Some(N::GroupingFunc(grouping)) => {
                // They stand in GROUP BY, and are not worked out again.
                self.eval_all(&grouping.args, scope, blame);
                Val::none()
            }
            Some(N::MergeSupportFunc(_)) => Val::none(),
            Some(N::SqlvalueFunction(_)) => Val::client(),
            Some(N::CurrentOfExpr(_)) => {
                self.target_touched = true;
                Val::none()
            }
            Some(N::MultiAssignRef(assign)) => self.assigned(assign, scope, blame),
            _ => self.structured(node, scope, blame),
        }
    }

    /// Whether a value is NULL: no secret, but of a row whose fields are.
    fn null_test(&mut self, of: Option<&Node>, scope: &Scope<'_, 'c>, blame: &Blame) -> Val {
        let val = of.map_or_else(Val::client, |node| self.eval(node, scope, blame));
        if let Some((at, settled)) = of.and_then(|node| operand::tested(self.context.catalog, node))
        {
            // Whether it is NULL gives it no type.
            self.rec.counted.insert(at, settled);
        }
        if self.has_fields(&val.deps) {
            self.blame(&val.deps, blame, "IS NULL");
        }
        Val::none()
    }

    fn param(&self, number: i32) -> Val {
        match &self.params {
            None => Val::client(),
            Some(params) => {
                let place = usize::try_from(number).ok().and_then(|n| n.checked_sub(1));
                place.and_then(|p| params.values.get(p).cloned()).unwrap_or_else(Val::unknown)
            }
        }
    }

    /// Forms around one value.
    fn wrapped(&mut self, node: &Node, scope: &Scope<'_, 'c>, blame: &Blame) -> Val {
        match inner(node) {
            Some(N::CollateClause(collate)) => self.eval_opt(&collate.arg, scope, blame).derived(),
            Some(N::NamedArgExpr(arg)) => self.eval_opt(&arg.arg, scope, blame),
            Some(N::AIndirection(indirection)) => {
                let Some(arg) = boxed(&indirection.arg) else { return Val::unknown() };
                if let [field] = tree::strings(&indirection.indirection).as_slice()
                    && indirection.indirection.len() == 1
                    && let Some(item) = self.row_named(arg, scope)
                    && (item.find(field).is_some() || known::system_column(field))
                    && let Some(N::ColumnRef(column)) = inner(arg)
                {
                    // `(t).f` is `t.f`.
                    self.pass(arg);
                    let field = [column.fields.as_slice(), indirection.indirection.as_slice()];
                    return self.column_ref(&field.concat(), scope);
                }
                let mut val = self.eval(arg, scope, blame).derived();
                if indirection.indirection.iter().any(|part| tree::string(part).is_some()) {
                    self.field_selected(&val, blame);
                }
                for part in &indirection.indirection {
                    if let Some(name) = tree::string(part) {
                        val = self.attribute(name, &val, blame);
                    }
                }
                for part in &indirection.indirection {
                    if let Some(N::AIndices(indices)) = inner(part) {
                        val.absorb(&self.eval_opt(&indices.lidx, scope, blame));
                        val.absorb(&self.eval_opt(&indices.uidx, scope, blame));
                        self.blame(&val.deps, blame, "subscript");
                    }
                }
                val
            }
            _ => Val::unknown(),
        }
    }

    fn row(&mut self, args: &[Node], scope: &Scope<'_, 'c>, blame: &Blame) -> Val {
        let mut val = Val::client();
        for arg in args {
            val.absorb(&self.eval(arg, scope, blame));
        }
        val
    }

    pub(crate) fn eval_opt(
        &mut self,
        node: &Option<Box<Node>>,
        scope: &Scope<'_, 'c>,
        blame: &Blame,
    ) -> Val {
        boxed(node).map_or_else(Val::client, |node| self.eval(node, scope, blame))
    }

    /// Several values as one.
    pub(crate) fn eval_all(&mut self, nodes: &[Node], scope: &Scope<'_, 'c>, blame: &Blame) -> Val {
        let mut val = Val::client();
        for node in nodes {
            val.absorb(&self.eval(node, scope, blame));
        }
        val
    }

    /// Values that become one, of one type.
    fn together(
        &mut self,
        nodes: &[Node],
        scope: &Scope<'_, 'c>,
        blame: &Blame,
        operation: &str,
    ) -> Val {
        let vals: Vec<Val> = nodes.iter().map(|node| self.eval(node, scope, blame)).collect();
        self.unified(&vals, &blame.place(operation));
        let mut all = Val::client();
        for val in &vals {
            all.absorb(val);
        }
        all
    }

    fn blamed(&mut self, val: Val, blame: &Blame, operation: &str) -> Val {
        self.blame(&val.deps, blame, operation);
        val.derived()
    }

    fn cast(&mut self, cast: &TypeCast, scope: &Scope<'_, 'c>, blame: &Blame) -> Val {
        let val = self.eval_opt(&cast.arg, scope, blame);
        if self.is_upcast(cast, scope) {
            return val.derived();
        }
        let name = cast.type_name.as_ref();
        let to = name.and_then(tree::plain_type);
        let catalog = self.context.catalog;
        match to {
            // Every value has a text form, so this cannot fail, if it is what it is called: types
            // of others, temporary ones before all, can have the name.
            Some(to @ ("text" | "varchar")) if !self.may_be_own(name, to) => {
                let mut val = val.derived();
                self.converted_from(boxed(&cast.arg), name, &mut val);
                return val;
            }
            _ => {}
        }
        let mut val = self.blamed(val, blame, "cast");
        if name.is_some_and(|name| !name.typmods.is_empty()) {
            // `bit(80000000)`, `char(10000000)`: filled up to the length.
            val.pieces = Val::LONG;
        }
        self.converted_from(boxed(&cast.arg), name, &mut val);
        if let Some(to) = to.filter(|to| !catalog.has_type_named(to)) {
            val.typed = crate::cast::named(to);
        }
        val
    }

    /// Whether a type that is called like one of PostgreSQL's can be another.
    fn may_be_own(&self, name: Option<&TypeName>, to: &str) -> bool {
        let is_qualified = name.is_some_and(|name| name.names.len() > 1);
        let is_followed = matches!(self.context.creates, SearchPath::Known(_));
        !is_qualified && (!is_followed || self.context.catalog.has_type_named(to))
    }

    /// Whether this makes a row of a table one of a table it inherits from, which cannot fail.
    fn is_upcast(&mut self, cast: &TypeCast, scope: &Scope<'_, 'c>) -> bool {
        let (Some(arg), Some(to)) = (boxed(&cast.arg), &cast.type_name) else { return false };
        self.pass(arg);
        if to.setof || to.pct_type || !to.array_bounds.is_empty() || !to.typmods.is_empty() {
            return false;
        }
        let Some(item) = self.row_named(arg, scope) else { return false };
        let Columns::Stored(relation) = item.columns else { return false };
        let parts = tree::strings(&to.names);
        let (schema, name) = tree::qualified(&parts);
        let catalog = self.context.catalog;
        if catalog.has_type_made(name) || !catalog.casts(name).is_empty() {
            return false;
        }
        let found = catalog.find(schema, name, self.context.path);
        let above = self.above(relation.oid);
        matches!(found.as_slice(), [only] if above.contains(&only.oid))
    }

    fn operation(&mut self, expr: &AExpr, scope: &Scope<'_, 'c>, blame: &Blame) -> Val {
        let parts = tree::strings(&expr.name);
        let name = parts.last().copied().unwrap_or("operator");
        if let Some(tested) = tested_for_null(expr) {
            return self.null_test(Some(tested), scope, blame);
        }
        let mut val = self.eval_opt(&expr.lexpr, scope, blame);
        let right = self.eval_opt(&expr.rexpr, scope, blame);
        let kind = AExprKind::try_from(expr.kind).unwrap_or_default();
        let joins = name == "||" && kind == AExprKind::AexprOp;
        if joins {
            val.append(&right);
        } else {
            val.absorb(&right);
        }
        self.custom_operator(name, &mut val);
        if is_between(kind) {
            self.custom_order(&mut val);
        }
        if joins && !val.is_long() && !self.is_built(&val.deps) {
            return val.derived();
        }
        let shown = match kind {
            AExprKind::AexprNullif => "NULLIF",
            AExprKind::AexprIn => "IN",
            AExprKind::AexprLike => "LIKE",
            AExprKind::AexprIlike => "ILIKE",
            AExprKind::AexprSimilar => "SIMILAR TO",
            AExprKind::AexprDistinct | AExprKind::AexprNotDistinct => "IS DISTINCT FROM",
            _ => name,
        };
        self.blamed(val, blame, shown)
    }

    /// Operators that do not ship with PostgreSQL are calls of functions.
    pub(crate) fn custom_operator(&mut self, name: &str, val: &mut Val) {
        for oid in self.context.catalog.operators(name) {
            if !self.spend(0) {
                return;
            }
            self.runs(*oid, val, &format!("operator {name}"));
        }
    }

    /// The operators by which values are put in order or told apart.
    fn custom_order(&mut self, val: &mut Val) {
        for name in ["<", "<=", "=", ">=", ">"] {
            self.custom_operator(name, val);
        }
    }

    /// A list is put in order, by the operator named in USING too.
    pub(crate) fn ordered(&mut self, sort: &SortBy, clause: &'static str) {
        let mut made = Val::none();
        self.custom_order(&mut made);
        if let Some(name) = sort.use_op.last().and_then(tree::string) {
            self.custom_operator(name, &mut made);
        }
        self.blame_place(&made.deps, &Place::Predicate(clause));
    }

    /// Rows are told apart by values.
    pub(crate) fn told_apart(&mut self, clause: &'static str) {
        let mut made = Val::none();
        self.custom_order(&mut made);
        self.blame_place(&made.deps, &Place::Predicate(clause));
    }

    /// A function that a cast or operator calls with `val`; its result joins what `val` depends on.
    pub(crate) fn runs(&mut self, function: u32, val: &mut Val, what: &str) {
        let Some(function) = self.context.catalog.function(function) else {
            // Those that ship with PostgreSQL and are immutable are left out of a snapshot.
            if function >= FIRST_NORMAL_OID && self.rec.quiet == 0 {
                self.rec.opaque("opaque_function", what);
            }
            return;
        };
        if self.reaches(function) == Reach::Body {
            let args = vec![val.clone(); function.arg_types.len()];
            let (made, _) = self.expand(&[function], &args);
            val.absorb(&made);
        }
    }

    fn sublink(&mut self, link: &SubLink, scope: &Scope<'_, 'c>, blame: &Blame) -> Val {
        let Some(query) = boxed(&link.subselect) else { return Val::unknown() };
        let table = self.query(query, Some(scope), scope.ctes);
        if tree::sublink_type(link) == SubLinkType::ExprSublink {
            let first = table.cols.first().filter(|_| table.rest.is_none());
            let name = first.map(|first| first.name.clone()).unwrap_or_default();
            self.sublinks.insert(link.location, name);
        }
        match tree::sublink_type(link) {
            SubLinkType::ExistsSublink => Val::none(),
            kind @ (SubLinkType::ExprSublink | SubLinkType::ArraySublink) => {
                // More than one column stand on the right of a row that is compared.
                let only = table.at(0).filter(|_| table.cols.len() == 1);
                let val = only.unwrap_or_else(|| table.whole());
                if kind == SubLinkType::ArraySublink {
                    self.arrays.insert(std::ptr::from_ref(link).addr(), val.typed);
                }
                let mut val = val.derived();
                val.client = false;
                if kind == SubLinkType::ArraySublink && self.has_dimensions(&val.deps) {
                    self.blame(&val.deps, blame, "ARRAY");
                }
                val
            }
            kind => {
                let mut val = self.eval_opt(&link.testexpr, scope, blame);
                val.absorb(&table.whole());
                // IN names none.
                let operator = link.oper_name.last().and_then(tree::string).unwrap_or("=");
                self.custom_operator(operator, &mut val);
                if kind == SubLinkType::RowcompareSublink {
                    self.custom_order(&mut val);
                }
                val.client = false;
                self.blamed(val, blame, "IN (subquery)")
            }
        }
    }

    /// `(a, b) = (…)` in SET: the part for one column.
    fn assigned(
        &mut self,
        assign: &pg_query::protobuf::MultiAssignRef,
        scope: &Scope<'_, 'c>,
        blame: &Blame,
    ) -> Val {
        let Some(source) = boxed(&assign.source) else { return Val::unknown() };
        let place = usize::try_from(assign.colno).unwrap_or(0).saturating_sub(1);
        match inner(source) {
            Some(N::RowExpr(row)) => {
                let only = row.args.get(place).filter(|_| !row.args.iter().any(is_expansion));
                match only {
                    Some(arg) => self.eval(arg, scope, blame),
                    None => self.expanded(&row.args, scope).whole(),
                }
            }
            Some(N::SubLink(link)) => {
                self.pass(source);
                let Some(query) = boxed(&link.subselect) else { return Val::unknown() };
                let table = self.query(query, Some(scope), scope.ctes);
                let mut val = table.at(place).unwrap_or_else(|| table.whole());
                val.client = false;
                val
            }
            _ => self.eval(source, scope, blame).derived(),
        }
    }

    /// XML and SQL/JSON.
    fn structured(&mut self, node: &Node, scope: &Scope<'_, 'c>, blame: &Blame) -> Val {
        match inner(node) {
            Some(N::XmlExpr(xml)) => {
                let mut val = self.eval_all(&xml.args, scope, blame);
                for arg in &xml.named_args {
                    if let Some(N::ResTarget(target)) = inner(arg) {
                        val.absorb(&self.eval_opt(&target.val, scope, blame));
                    }
                }
                self.blamed(val, blame, "XML")
            }
            Some(N::XmlSerialize(xml)) => {
                let val = self.eval_opt(&xml.expr, scope, blame);
                let mut val = self.blamed(val, blame, "XMLSERIALIZE");
                self.converted(xml.type_name.as_ref(), &mut val);
                val
            }
            Some(N::JsonObjectConstructor(json)) => {
                let val = self.eval_all(&json.exprs, scope, blame);
                let val = self.json_returned(json.output.as_ref(), val, blame);
                if json.unique { self.blamed(val, blame, "JSON_OBJECT") } else { val.derived() }
            }
            Some(N::JsonKeyValue(pair)) => {
                let mut val = self.eval_opt(&pair.key, scope, blame);
                if let Some(value) = &pair.value {
                    val.absorb(&self.json_value(value, scope, blame));
                }
                val
            }
            Some(N::JsonArrayConstructor(json)) => {
                let val = self.eval_all(&json.exprs, scope, blame);
                self.json_returned(json.output.as_ref(), val, blame)
            }
            Some(N::JsonArrayQueryConstructor(json)) => {
                let Some(query) = boxed(&json.query) else { return Val::unknown() };
                let mut val = self.query(query, Some(scope), scope.ctes).whole();
                val.client = false;
                self.json_returned(json.output.as_ref(), val, blame)
            }
            Some(N::JsonValueExpr(json)) => self.json_value(json, scope, blame),
            Some(N::JsonArgument(arg)) => match &arg.val {
                Some(value) => self.json_value(value, scope, blame),
                None => Val::client(),
            },
            Some(N::JsonScalarExpr(json)) => {
                let val = self.eval_opt(&json.expr, scope, blame);
                self.json_returned(json.output.as_ref(), val, blame)
            }
            Some(N::JsonObjectAgg(_) | N::JsonArrayAgg(_)) => {
                self.json_aggregate(node, scope, blame)
            }
            Some(
                N::JsonFuncExpr(_)
                | N::JsonParseExpr(_)
                | N::JsonSerializeExpr(_)
                | N::JsonIsPredicate(_),
            ) => {
                let val = self.json_function(node, scope, blame);
                self.blamed(val, blame, "JSON")
            }
            _ => {
                self.rec.opaque("unknown_statement", "an expression of an unknown kind");
                self.rec.may_write = true;
                Val::unknown()
            }
        }
    }

    fn json_value(&mut self, json: &JsonValueExpr, scope: &Scope<'_, 'c>, blame: &Blame) -> Val {
        let val = self.eval_opt(&json.raw_expr, scope, blame);
        let format = json.format.as_ref().map(|format| format.format_type);
        if format == Some(JsonFormatType::JsFormatJson as i32) {
            // FORMAT JSON: the text must be JSON.
            return self.blamed(val, blame, "FORMAT JSON");
        }
        val
    }

    /// RETURNING of a constructor: another type than JSON or text is a cast.
    fn json_returned(&mut self, output: Option<&JsonOutput>, val: Val, blame: &Blame) -> Val {
        let to = output.and_then(|output| output.type_name.as_ref());
        let mut val = match to.map(tree::plain_type) {
            None | Some(Some("json" | "text")) => val.derived(),
            Some(Some("jsonb")) if !self.may_not_be_jsonb(&val.deps) => val.derived(),
            _ => self.blamed(val, blame, "RETURNING"),
        };
        self.converted(to, &mut val);
        val
    }

    fn json_function(&mut self, node: &Node, scope: &Scope<'_, 'c>, blame: &Blame) -> Val {
        let mut val = Val::client();
        match inner(node) {
            Some(N::JsonFuncExpr(json)) => {
                let to = json.output.as_ref().and_then(|output| output.type_name.as_ref());
                self.converted(to, &mut val);
                if let Some(item) = &json.context_item {
                    val.absorb(&self.eval_opt(&item.raw_expr, scope, blame));
                }
                val.absorb(&self.eval_opt(&json.pathspec, scope, blame));
                val.absorb(&self.eval_all(&json.passing, scope, blame));
                for behaviour in [&json.on_empty, &json.on_error].into_iter().flatten() {
                    val.absorb(&self.eval_opt(&behaviour.expr, scope, blame));
                }
            }
            Some(N::JsonParseExpr(json)) => {
                if let Some(value) = &json.expr {
                    val.absorb(&self.eval_opt(&value.raw_expr, scope, blame));
                }
            }
            Some(N::JsonSerializeExpr(json)) => {
                let to = json.output.as_ref().and_then(|output| output.type_name.as_ref());
                self.converted(to, &mut val);
                if let Some(value) = &json.expr {
                    val.absorb(&self.eval_opt(&value.raw_expr, scope, blame));
                }
            }
            Some(N::JsonIsPredicate(json)) => val.absorb(&self.eval_opt(&json.expr, scope, blame)),
            _ => val = Val::unknown(),
        }
        val
    }

    fn json_aggregate(&mut self, node: &Node, scope: &Scope<'_, 'c>, blame: &Blame) -> Val {
        let mut val = Val::none();
        match inner(node) {
            Some(N::JsonObjectAgg(aggregate)) => {
                if let Some(pair) = &aggregate.arg {
                    let key = self.eval_opt(&pair.key, scope, blame);
                    self.blame(&key.deps, blame, "JSON_OBJECTAGG key");
                    val.absorb(&key);
                    if let Some(value) = &pair.value {
                        val.absorb(&self.json_value(value, scope, blame));
                    }
                }
                self.aggregate_clauses(aggregate.constructor.as_deref(), scope);
                let made = aggregate.constructor.as_deref();
                val = self.json_returned(made.and_then(|made| made.output.as_ref()), val, blame);
            }
            Some(N::JsonArrayAgg(aggregate)) => {
                if let Some(value) = &aggregate.arg {
                    val.absorb(&self.json_value(value, scope, blame));
                }
                self.aggregate_clauses(aggregate.constructor.as_deref(), scope);
                let made = aggregate.constructor.as_deref();
                val = self.json_returned(made.and_then(|made| made.output.as_ref()), val, blame);
            }
            _ => val = Val::unknown(),
        }
        val
    }

    fn aggregate_clauses(&mut self, json: Option<&JsonAggConstructor>, scope: &Scope<'_, 'c>) {
        let Some(json) = json else { return };
        self.sort_inside(&json.agg_order, scope);
        if let Some(filter) = boxed(&json.agg_filter) {
            self.predicate(filter, scope, "FILTER");
        }
        if let Some(over) = &json.over {
            self.window(over, scope);
        }
    }

    fn call_value(&mut self, call: &FuncCall, scope: &Scope<'_, 'c>, blame: &Blame) -> Val {
        let name = call.funcname.last().and_then(tree::string).unwrap_or("function");
        if let Some(name) = tree::late_keyword(call)
            && !scope.bare(name).0.is_empty()
        {
            return self.bare(name, scope).derived();
        }
        self.call(call, scope, blame, &blame.place(name)).0
    }
}

fn is_between(kind: AExprKind) -> bool {
    matches!(
        kind,
        AExprKind::AexprBetween
            | AExprKind::AexprNotBetween
            | AExprKind::AexprBetweenSym
            | AExprKind::AexprNotBetweenSym
    )
}

/// What `IS [NOT] DISTINCT FROM NULL` tests, which PostgreSQL makes a test for NULL of.
pub(crate) fn tested_for_null(expr: &AExpr) -> Option<&Node> {
    use AExprKind::{AexprDistinct, AexprNotDistinct};
    if !matches!(AExprKind::try_from(expr.kind), Ok(AexprDistinct | AexprNotDistinct)) {
        return None;
    }
    let is_null = |node: &Node| matches!(inner(node), Some(N::AConst(null)) if null.isnull);
    match (boxed(&expr.lexpr)?, boxed(&expr.rexpr)?) {
        (tested, null) if is_null(null) => Some(tested),
        (null, tested) if is_null(null) => Some(tested),
        _ => None,
    }
}
