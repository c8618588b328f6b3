// node_modules/preact/dist/preact.mjs
var n$1;
var t$2;
var r$2;
var u$3;
var i$2;
var f$3;
var o$3;
var e$2;
var l$2;
var c$2;
var a$3;
var h$3 = Symbol.for("pv");
var p$3 = {};
var y$3 = [];
var v$2 = /^m(i|n|o|s|text|space)$/;
var w$3 = Array.isArray;
var d$3 = y$3.slice;
var _$3 = Object.assign;
function g$3(n) {
	n && n.parentNode && n.remove();
}
function k$2(n, t, r) {
	var u, i, f, o = {}, e = arguments.length;
	for (f in t) "key" == f ? u = t[f] : "ref" == f && "function" != typeof n ? i = t[f] : o[f] = t[f];
	return e > 2 && (o.children = e > 3 ? d$3.call(arguments, 2) : r), m$3(n, o, u, i, null);
}
function m$3(r, u, i, f, o) {
	var e = {
		type: r,
		props: u,
		key: i,
		ref: f,
		__k: null,
		__: null,
		__b: 0,
		__e: null,
		__c: null,
		constructor: h$3,
		__v: o || ++t$2,
		__i: -1,
		__u: 0
	};
	return !o && n$1.vnode && n$1.vnode(e), e;
}
function $(n) {
	return n.children;
}
function x$2(n, t) {
	this.props = n, this.context = t, this.__g = 0;
}
function S$1(n, t) {
	if (null == t) return n.__ && S$1(n.__, n.__i + 1);
	for (var r; t < n.__k.length; t++) if ((r = n.__k[t]) && r.__e) return r.__e;
	return "function" != typeof n.type || n.props.__P ? null : S$1(n);
}
function C$1(t) {
	var r, u = t.__v, i = u.__e, f = [], o = [], e = t.__P;
	e && ((r = _$3({ constructor: h$3 }, u)).__v = u.__v + 1, n$1.vnode && n$1.vnode(r), z$1(e, r, u, t.__n, e.namespaceURI, 32 & u.__u ? [i] : null, f, i || S$1(u), 32 & u.__u, o), r.__v = u.__v, r.__.__k[r.__i] = r, E$1(f, r, o), u.__ = u.__e = null, r.__e != i && j$1(r));
}
function j$1(n) {
	if ((n = n.__) && n.__c && !n.props.__P) return n.__e = null, n.__k.some(function(t) {
		return t && (n.__e = t.__e);
	}), j$1(n);
}
function L(t) {
	(8 & t.__g || (t.__g |= 8, u$3.push(t), f$3++)) && i$2 == n$1.debounceRendering || ((i$2 = n$1.debounceRendering) || queueMicrotask)(H);
}
function H() {
	try {
		for (var n, t = 1; u$3.length;) u$3.length > t && u$3.sort(o$3), n = u$3.shift(), t = u$3.length, 8 & n.__g && C$1(n);
	} finally {
		(f$3 = u$3.length) && (i$2 || queueMicrotask)(H);
	}
}
function I(n, t, r, u, i, f, o, e, l, c, a) {
	var s, h, v, w, d, _, g = u.__k || y$3, k = t.length;
	for (l = q$1(r, t, g, l, k), s = 0; s < k; s++) null != (v = r.__k[s]) && (h = ~v.__i && g[v.__i] || p$3, v.__i = s, _ = z$1(n, v, h, i, f, o, e, l, c, a), w = v.__e, (h.ref != v.ref || 8 & h.__u) && (h.ref && G$1(h.ref, null, v, h), v.ref && a.push(v.ref, v.__c || w, v)), d = d || w, 4 & v.__u ? (l = A$2(v, l, n, !h.__v), h.__e && (h.__e = null)) : "function" == typeof v.type && void 0 !== _ ? l = _ : w && (l = w.nextSibling), v.__u &= -21);
	return r.__e = d, l;
}
function q$1(n, t, r, u, i) {
	var f, o, e, l, c, a, s, p, y, v = r.length, d = v, _ = 0, g = 0, k = n.__k = Array(i);
	for (f = 0; f < i; f++) null != (o = t[f]) && "boolean" != typeof o && "function" != typeof o ? ("object" != typeof o || o.constructor === String ? o = k[f] = m$3(null, o) : w$3(o) ? o = k[f] = m$3($, { children: o }) : o.constructor === h$3 && o.__b ? o = k[f] = m$3(o.type, o.props, o.key, o.ref, o.__v) : k[f] = o, l = f + _, o.__ = n, o.__b = n.__b + 1, e = null, ~(c = o.__i = P(o, r, l, d)) && (d--, (e = r[c]) && (e.__u |= 2)), e && e.__v ? (o.__u |= 16, c == l - 1 ? _-- : c == l + 1 ? _++ : c != l && (c > l ? _-- : _++, g = 1)) : (~c || (i > v ? _-- : i < v && _++), "function" != typeof o.type && (o.__u |= 4))) : k[f] = null;
	if (g) {
		for (a = [], s = [], f = 0; f < i; f++) if ((o = k[f]) && 16 & o.__u) {
			for (_ = 0, p = a.length; _ < p;) a[y = _ + p >> 1] < o.__i ? _ = y + 1 : p = y;
			a[_] = o.__i, s[f] = _ + 1;
		}
		for (_ = a.length; f--;) s[f] && (s[f] == _ ? _-- : k[f].__u |= 4);
	}
	if (d) for (f = 0; f < v; f++) !(e = r[f]) || 2 & e.__u || (e.__e == u && (u = S$1(e)), J(e, e));
	return u;
}
function A$2(n, t, r, u) {
	var i, f, o, e;
	if ("function" == typeof n.type) {
		if (n.props.__P) return t;
		if (i = n.__k) for (f = 0; f < i.length; f++) i[f] && (i[f].__ = n, t = A$2(i[f], t, r, !1));
		return t;
	}
	for (t && !t.parentNode && (t = S$1(n)) && !t.parentNode && (t = null), o = n.__e, e = t; e && 8 == e.nodeType;) e = e.nextSibling;
	for (o != e && (!u && r.moveBefore && o.parentNode ? r.moveBefore(o, t) : r.insertBefore(o, t || null)), t = o; (t = t && t.nextSibling) && 8 == t.nodeType && !t.data.startsWith("$s"););
	return t;
}
function P(n, t, r, u) {
	var i, f = n.key, o = n.type, e = t[r], l = e && !(2 & e.__u);
	if (null === e && null == f || l && f == e.key && o == e.type) return r;
	if (u > (l ? 1 : 0)) {
		for (i = r - 1; i >= 0; i--) if ((e = t[i]) && !(2 & e.__u) && f == e.key && o == e.type) return i;
		for (i = r + 1; i < t.length; i++) if ((e = t[i]) && !(2 & e.__u) && f == e.key && o == e.type) return i;
	}
	return -1;
}
function T$2(n, t, r) {
	r ??= "", "-" == t[0] ? n.setProperty(t, r) : n[t] = r;
}
function N(n, t, r, u, i) {
	var f, o;
	if ("style" == t) if ("string" == typeof r) n.style.cssText = r;
	else {
		if ("string" == typeof u && (n.style.cssText = u = ""), u) for (t in u) r && t in r || T$2(n.style, t);
		if (r) for (t in r) u && r[t] == u[t] || T$2(n.style, t, r[t]);
	}
	else if ("o" == t[0] && "n" == t[1]) "function" != typeof r && (r = null), "function" != typeof u && (u = null), (n.__e || (n.__e = {}))[t] = r, r && u || (o = a$3[t] || (a$3[t] = V(t)), (n.__a || (n.__a = {}))[t] = c$2, f = t != (t = t.replace(l$2, "$1")), (t = t.slice(2))[0] < "a" && (t = t.toLowerCase()), r ? n.addEventListener(t, o, f) : n.removeEventListener(t, o, f));
	else {
		if ("http://www.w3.org/2000/svg" == i) t = t.replace(/xlink(H|:h)/, "h").replace(/sName$/, "s");
		else if ("width" != t && "height" != t && "href" != t && "list" != t && "form" != t && "tabIndex" != t && "download" != t && "rowSpan" != t && "colSpan" != t && "role" != t && "popover" != t && t in n) try {
			n[t] = null == r ? "" : r;
			return;
		} catch (n) {}
		if ("function" == typeof r) return;
		null == r || !1 === r && "-" != t[4] ? n.removeAttribute(t) : n.setAttribute(t, "popover" == t && 1 == r ? "" : r);
	}
}
function V(t) {
	return function(r) {
		var u = this.__e;
		if (u) {
			if (u = u[t], null == r[e$2]) r[e$2] = c$2++;
			else if (r[e$2] < this.__a[t]) return;
			return u(n$1.event ? n$1.event(r) : r);
		}
	};
}
function z$1(t, r, u, i, f, o, e, l, c, a) {
	var s, p, v, d, k, b, m, M, C, j, L, H, q, A, O, P, T, N, V = r.type;
	if (r.constructor !== h$3) return null;
	128 & u.__u && (c = 32 & u.__u, s = u.__c.__z) && (r.__u |= c, p = o = [], 8 == s.nodeType ? l = B$1(s, o) : o.push(s), l = o[0] || l), (s = n$1.__b) && s(r);
	n: if ("function" == typeof V) {
		v = e.length;
		try {
			if (M = r.props, C = (s = V.prototype) && s.render, j = (s = V.contextType) && i[s.__c], L = s ? j ? j.props.value : s.__ : i, (d = u.__c) ? (r.__c = d, 2 & d.__g && (d.__g |= 1)) : (C ? r.__c = d = new V(M, L) : (r.__c = d = new x$2(M, L), d.constructor = V, d.render = K), j && j.sub(d), d.state || (d.state = {}), d.__n = i, d.__g |= 8, d.__h = [], d.__k = []), C && (d.__s || (d.__s = d.state), V.getDerivedStateFromProps && (d.__s == d.state && (d.__s = _$3({}, d.__s)), _$3(d.__s, V.getDerivedStateFromProps(M, d.__s)))), k = d.props, b = d.state, d.__v = r, u.__c) {
				if (M !== k && C && !V.getDerivedStateFromProps && d.componentWillReceiveProps && d.componentWillReceiveProps(M, L), r.__v == u.__v && !(8 & d.__g) || !(4 & d.__g) && d.shouldComponentUpdate && !1 === d.shouldComponentUpdate(M, d.__s, L)) {
					r.__v != u.__v && (d.props = M, d.state = d.__s, d.__g &= -9), r.__e = u.__e, r.__k = u.__k, r.__k.some(function(n) {
						n && (n.__ = r);
					}), y$3.push.apply(d.__h, d.__k), d.__k = [], d.__h.length && e.push(d), l = S$1(u);
					break n;
				}
				d.componentWillUpdate && d.componentWillUpdate(M, d.__s, L), C && d.componentDidUpdate && d.__h.push(function() {
					d.componentDidUpdate(k, b, m);
				});
			} else C && !V.getDerivedStateFromProps && d.componentWillMount && d.componentWillMount(), C && d.componentDidMount && d.__h.push(d.componentDidMount);
			d.context = L, d.props = M, d.__P = t, d.__g &= -5, H = n$1.__r, q = C ? 25 : 0;
			do
				d.__g &= -9, H && H(r), s = d.render(d.props, d.state = d.__s, d.context);
			while (8 & d.__g && ++q < 25);
			C && (y$3.push.apply(d.__h, d.__k), d.__k = []), d.state = d.__s, d.getChildContext && (i = _$3({}, i, d.getChildContext())), C && u.__c && d.getSnapshotBeforeUpdate && (m = d.getSnapshotBeforeUpdate(k, b)), A = s && s.type === $ && null == s.key ? s.props.children : s, M.__P && (s = l, f = (t = M.__P).namespaceURI, c = o = null, u.props && u.props.__P != t && (u.__k.some(function(n) {
				n && J(n, n);
			}), u.__k = null), l = u.__k ? S$1(u, 0) : null), l = I(t, w$3(A) ? A : [A], r, u, i, f, o, e, l, c, a), M.__P && (r.__e = null, l = s), r.__u &= -161, p && p.some(g$3), d.__h.length && e.push(d), 1 & d.__g && (d.__g &= -4);
		} catch (t) {
			if (e.length = v, r.__v = null, c || o) if (t && t.then) {
				if (r.__u |= 128 | c, o) {
					for (~(T = o.indexOf(l || void 0)) || (T = o.length); (N = o[T - 1]) && 8 == N.nodeType;) T--;
					for (; T < o.length; T++) if (N = o[T]) if (o[T] = null, O) {
						if (N == P) break;
					} else {
						if (8 != N.nodeType) break;
						N.data.startsWith("$s") && (P = B$1(O = N));
					}
				}
				if (!O) {
					for (; l && 8 == l.nodeType && l.nextSibling;) l = l.nextSibling;
					O = l;
				}
				(s = B$1(O = r.__c.__z || (r.__c.__z = O))) ? (r.__e = O, l = s) : r.__e = l, l = l && l.nextSibling;
			} else o && o.some(g$3);
			else r.__e = u.__e;
			r.__k || (r.__k = u.__k || []), t && t.then || D$1(r), n$1.__e(t, r, u);
		}
	} else l = r.__e = F$2(u.__e, r, u, i, f, o, e, c, a, t);
	return (s = n$1.diffed) && s(r), l;
}
function B$1(n, t) {
	if (n && 8 == n.nodeType && n.data.startsWith("$s")) for (var r = 1; n = n.nextSibling;) {
		if (8 == n.nodeType) {
			if (n.data.startsWith("$s")) r++;
			else if (n.data.startsWith("/$s") && !--r) return n;
		}
		t && t.push(n);
	}
}
function D$1(n) {
	n && (n.__c && (n.__c.__g |= 4), n.__k && n.__k.some(D$1));
}
function E$1(t, r, u) {
	for (var i = 0; i < u.length;) G$1(u[i++], u[i++], u[i++]);
	n$1.__c && n$1.__c(r, t), t.some(function(r) {
		try {
			t = r.__h, r.__h = [], t.some(function(n) {
				n.call(r);
			});
		} catch (t) {
			n$1.__e(t, r.__v);
		}
	});
}
function F$2(t, r, u, i, f, o, e, l, c, a) {
	var s, h, y, _, k, b, m, M, $ = u.props || p$3, x = r.props, C = r.type;
	if ("svg" == C ? f = "http://www.w3.org/2000/svg" : "math" == C ? f = "http://www.w3.org/1998/Math/MathML" : f || (f = "http://www.w3.org/1999/xhtml"), o) {
		for (s = 0; s < o.length; s++) if ((k = o[s]) && (C ? k.localName == C : 3 == k.nodeType)) {
			t = k, o[s] = null;
			break;
		}
	}
	if (!t) {
		if (M = a.ownerDocument || document, !C) return M.createTextNode(x);
		t = M.createElementNS(f, C, x.is ? x : a), l && (n$1.__m && n$1.__m(r, o), l = !1), o = null;
	}
	if (C) {
		if (a = "template" == C && t.content || t, o = "textarea" == C && null != x.defaultValue ? null : o && d$3.call(a.childNodes), !l && o) for ($ = {}, s = 0; s < t.attributes.length; s++) $[(k = t.attributes[s]).name] = k.value;
		for (s in $) k = $[s], "dangerouslySetInnerHTML" == s ? y = k : "children" == s || s in x || "value" == s && "defaultValue" in x || "checked" == s && "defaultChecked" in x || N(t, s, null, k, f);
		for (s in x) k = x[s], "children" == s ? _ = k : "dangerouslySetInnerHTML" == s ? h = k : "value" == s ? b = k : "checked" == s ? m = k : l && "function" != typeof k || $[s] === k || N(t, s, k, $[s], f);
		h ? (l || y && (h.__html == y.__html || h.__html == t.innerHTML) || (t.innerHTML = h.__html), r.__k = []) : (y && (t.textContent = ""), ("foreignObject" == C || "http://www.w3.org/1998/Math/MathML" == f && v$2.test(C)) && (f = "http://www.w3.org/1999/xhtml"), I(a, w$3(_) ? _ : [_], r, u, i, f, o, e, o ? o[0] : u.__k && S$1(u, 0), l, c), o && o.some(g$3)), l && "textarea" != C || (s = "value", "progress" == C && null == b ? t.removeAttribute(s) : null == b || b === t[s] && ("progress" != C || b) || N(t, s, b, $[s], f), s = "checked", null != m && m != t[s] && N(t, s, m, $[s], f));
	} else $ === x || l && t.data == x || (t.data = x);
	return t;
}
function G$1(t, r, u, i) {
	try {
		"function" == typeof t ? r ? r.__x = t(r) || 1 : i && (i = i.__c || i.__e) && (r = i.__x) && (i.__x = null, "function" == typeof r ? r() : t(null)) : t.current = r;
	} catch (t) {
		n$1.__e(t, u);
	}
}
function J(t, r, u) {
	var i, f, o, e;
	if (n$1.unmount && n$1.unmount(t), !(i = t.ref) || i.current && i.current != t.__e || G$1(i, null, r, t), i = t.__c) {
		if (i.componentWillUnmount) try {
			i.componentWillUnmount();
		} catch (t) {
			n$1.__e(t, r);
		}
		i.__P = i.__n = null;
	}
	if (i = t.__k) for (e = 0; e < i.length; e++) i[e] && J(i[e], r, "function" != typeof t.type || u && !t.props.__P);
	!u && (i = t.__c) && (i = i.__z) && (f = B$1(i, o = [])) && (i == t.__e && o.some(g$3), g$3(f), g$3(i)), u || g$3(t.__e), t.__e = t.__c = t.__ = null;
}
function K(n, t, r) {
	return this.constructor(n, r);
}
function Q(t, r) {
	var u, i, f, o;
	n$1.__ && n$1.__(t, r), 9 == r.nodeType && (r = r.documentElement), i = (u = t && 32 & t.__u) ? null : r.__k, r.__k = m$3($, { children: [t] }), f = [], o = [], z$1(r, r.__k, i || p$3, p$3, r.namespaceURI, i ? null : r.firstChild ? d$3.call(r.childNodes) : null, f, i ? i.__e : r.firstChild, u, o), E$1(f, r.__k, o), r.__k.props.children = null;
}
n$1 = { __e: function(n, t, r, u) {
	for (var i, o, e; t = t.__;) if ((i = t.__c) && !(1 & i.__g)) {
		i.__g |= 4;
		try {
			if ((e = (o = i.constructor) && o.getDerivedStateFromError) && i.setState(o.getDerivedStateFromError(n)), i.componentDidCatch && (i.componentDidCatch(n, u || {}), e = 1), e && 8 & i.__g) return void (i.__g |= 2);
		} catch (t) {
			n = t;
		}
	}
	throw f$3 = 0, n;
} }, t$2 = 0, r$2 = function(n) {
	return null != n && n.constructor === h$3;
}, x$2.prototype.setState = function(n, t) {
	var r = this.__s;
	r && r != this.state || (r = this.__s = _$3({}, this.state)), "function" == typeof n && (n = n(_$3({}, r), this.props)), n && (_$3(r, n), this.__v && (t && this.__k.push(t), L(this)));
}, x$2.prototype.forceUpdate = function(n) {
	this.__v && (this.__g |= 4, n && this.__h.push(n), L(this));
}, x$2.prototype.render = $, u$3 = [], f$3 = 0, o$3 = function(n, t) {
	return n.__v.__b - t.__v.__b;
}, e$2 = Symbol(), l$2 = /(PointerCapture)$|Capture$/i, c$2 = 0, a$3 = {};
// node_modules/preact/hooks/dist/hooks.mjs
var t$1;
var r$1;
var u$2;
var i$1;
var o$2 = Object.is;
var f$2 = 0;
var c$1 = [];
var e$1 = [];
var a$2 = n$1;
var v$1 = a$2.__b;
var l$1 = a$2.__r;
var m$2 = a$2.diffed;
var h$2 = a$2.__c;
var s$1 = a$2.unmount;
var p$2 = a$2.__;
function y$2(n, t) {
	a$2.__h && a$2.__h(r$1, n, f$2 || t), f$2 = 0;
	var u = r$1.__H || (r$1.__H = {
		__: [],
		__h: []
	});
	return n >= u.__.length && u.__.push({}), u.__[n];
}
function d$2(n) {
	return f$2 = 1, _$2(G, n);
}
function _$2(n, u, i) {
	var f = y$2(t$1++, 2);
	if (f.t = n, !f.__c && (f.__ = [i ? i(u) : G(void 0, u), function(n) {
		var t = (f.__N || f.__)[0], r = f.t(t, n);
		o$2(t, r) || (f.__N = [r, f.__[1]], f.__c.setState({}));
	}], f.__c = r$1, !r$1.__f)) {
		r$1.__f = !0;
		var c = r$1.shouldComponentUpdate;
		r$1.shouldComponentUpdate = function(n, t, r) {
			var u = this.__H;
			if (!u) return !0;
			var i = !1, f = this.props != n;
			if (u.__.some(function(n) {
				n.__N && (i = !0, o$2(n.__[0], n.__N[0]) || (f = !0));
			}), c) {
				var e = c.call(this, n, t, r);
				return i ? e || f : e;
			}
			return !i || f;
		};
	}
	return f.__;
}
function A$1(n, u) {
	var i = y$2(t$1++, 3);
	!a$2.__s && E(i.__H, u) && (i.__P = !0, i.__ = n, i.u = u, r$1.__H.__h.push(i));
}
function F$1(n, u) {
	var i = y$2(t$1++, 4);
	!a$2.__s && E(i.__H, u) && (i.__P = !1, i.__ = n, i.u = u, r$1.__h.push(i));
}
function T$1(n) {
	return f$2 = 5, w$2(function() {
		return { current: n };
	}, []);
}
function w$2(n, r) {
	var u = y$2(t$1++, 7);
	return E(u.__H, r) && (u.__ = n(), u.__H = r), u.__;
}
function g$2() {
	var n;
	do {
		for (; n = e$1.shift();) try {
			C(n);
		} catch (t) {
			a$2.__e(t, { __: (n = n.__P) && n.__v });
		}
		for (; n = c$1.shift();) {
			var t = n.__H;
			if (n.__P && t) try {
				t.__h.some(C), t.__h.some(D), t.__h = [];
			} catch (r) {
				t.__h = [], a$2.__e(r, n.__v);
			}
		}
	} while (e$1.length);
}
a$2.__b = function(n) {
	r$1 = null, v$1 && v$1(n);
}, a$2.__ = function(n, t) {
	n && t.__k && t.__k.__m && (n.__m = t.__k.__m), p$2 && p$2(n, t);
}, a$2.__r = function(n) {
	l$1 && l$1(n), t$1 = 0;
	var i = (r$1 = n.__c).__H;
	i && (u$2 == r$1 ? r$1.__h = [] : (i.__h.some(C), i.__h.some(D), t$1 = 0), i.__h = [], i.__.some(function(n) {
		n.__N && (n.__ = n.__N), n.u = n.__N = void 0;
	})), u$2 = r$1;
}, a$2.diffed = function(n) {
	m$2 && m$2(n);
	var t = n.__c;
	t && t.__H && (t.__H.__h.length && B(c$1.push(t)), t.__H.__.some(function(n) {
		n.u && (n.__H = n.u);
	})), u$2 = r$1 = null;
}, a$2.__c = function(n, t) {
	t.some(function(n) {
		try {
			n.__h.some(C), n.__h = n.__h.filter(function(n) {
				return !n.__ || D(n);
			});
		} catch (t) {
			n.__h = [function() {
				throw t;
			}];
		}
	}), h$2 && h$2(n, t);
}, a$2.unmount = function(n) {
	s$1 && s$1(n);
	var t, r, u = n.__c;
	u && u.__H && (u.__H.__.some(function(u) {
		try {
			if (u.__P && u.__c) {
				if (void 0 === r) {
					for (r = n.__; r && (!r.__c || !r.__c.__P);) r = r.__;
					r = r && r.__c;
				}
				u.__P = r, B(e$1.push(u));
			} else C(u);
		} catch (n) {
			t = n;
		}
	}), u.__H = void 0, t && a$2.__e(t, u.__v));
};
var k$1 = "function" == typeof requestAnimationFrame;
function z(n) {
	var t, r = function() {
		clearTimeout(u), k$1 && cancelAnimationFrame(t), setTimeout(n);
	}, u = setTimeout(r, 35);
	k$1 && (t = requestAnimationFrame(r));
}
function B(n) {
	1 != n && i$1 == a$2.requestAnimationFrame || ((i$1 = a$2.requestAnimationFrame) || z)(g$2);
}
function C(n) {
	var t = r$1, u = n.__c;
	"function" == typeof u && (n.__c = void 0, u()), r$1 = t;
}
function D(n) {
	var t = r$1;
	n.__c = n.__(), r$1 = t;
}
function E(n, t) {
	return !n || n.length != t.length || t.some(function(t, r) {
		return !o$2(t, n[r]);
	});
}
function G(n, t) {
	return "function" == typeof t ? t(n) : t;
}
// node_modules/@preact/signals-core/dist/signals-core.module.js
var i = Symbol.for("preact-signals");
function t() {
	if (!(v > 1)) {
		var i, t = !1;
		(function() {
			var i = c;
			c = void 0;
			while (void 0 !== i) {
				var t = i.S;
				if (t.v === i.v) {
					for (var r = t.t; void 0 !== r; r = r.x) if (r.i === i.i) r.i = t.i;
				}
				i = i.o;
			}
		})();
		while (void 0 !== h$1) {
			var r = h$1;
			h$1 = void 0;
			s++;
			while (void 0 !== r) {
				var n = r.u;
				r.u = void 0;
				r.f &= -3;
				if (!(8 & r.f) && w$1(r)) try {
					r.c();
				} catch (r) {
					if (!t) {
						i = r;
						t = !0;
					}
				}
				r = n;
			}
		}
		s = 0;
		v--;
		if (t) throw i;
	} else v--;
}
function r(i) {
	if (v > 0) return i();
	u$1 = ++e;
	v++;
	try {
		return i();
	} finally {
		t();
	}
}
var n;
var o$1 = void 0;
function f$1(i) {
	var t = o$1, r = n;
	o$1 = void 0;
	n = void 0;
	try {
		return i();
	} finally {
		o$1 = t;
		n = r;
	}
}
var h$1 = void 0;
var v = 0;
var s = 0;
var e = 0;
var u$1 = 0;
var c = void 0;
var a$1 = 0;
function d$1(i) {
	if (void 0 !== o$1) {
		var t = i.n;
		if (void 0 === t || t.t !== o$1) {
			t = {
				i: 0,
				S: i,
				p: o$1.s,
				n: void 0,
				t: o$1,
				e: void 0,
				x: void 0,
				r: t
			};
			if (void 0 !== o$1.s) o$1.s.n = t;
			o$1.s = t;
			i.n = t;
			if (32 & o$1.f) i.S(t);
			return t;
		} else if (-1 === t.i) {
			t.i = 0;
			if (void 0 !== t.n) {
				t.n.p = t.p;
				if (void 0 !== t.p) t.p.n = t.n;
				t.p = o$1.s;
				t.n = void 0;
				o$1.s.n = t;
				o$1.s = t;
			}
			return t;
		}
	}
}
function l(i, t) {
	this.v = i;
	this.i = 0;
	this.n = void 0;
	this.t = void 0;
	this.l = 0;
	this.W = null == t ? void 0 : t.watched;
	this.Z = null == t ? void 0 : t.unwatched;
	this.name = null == t ? void 0 : t.name;
}
l.prototype.brand = i;
l.prototype.h = function() {
	return !0;
};
l.prototype.S = function(i) {
	var t = this, r = this.t;
	if (r !== i && void 0 === i.e) {
		i.x = r;
		this.t = i;
		if (void 0 !== r) r.e = i;
		else f$1(function() {
			var i;
			null == (i = t.W) || i.call(t);
		});
	}
};
l.prototype.U = function(i) {
	var t = this;
	if (void 0 !== this.t) {
		var r = i.e, n = i.x;
		if (void 0 !== r) {
			r.x = n;
			i.e = void 0;
		}
		if (void 0 !== n) {
			n.e = r;
			i.x = void 0;
		}
		if (i === this.t) {
			this.t = n;
			if (void 0 === n) f$1(function() {
				var i;
				null == (i = t.Z) || i.call(t);
			});
		}
	}
};
l.prototype.subscribe = function(i) {
	var t = this;
	return x$1(function() {
		var r = t.value;
		f$1(function() {
			return i(r);
		});
	}, { name: "sub" });
};
l.prototype.valueOf = function() {
	return this.value;
};
l.prototype.toString = function() {
	return this.value + "";
};
l.prototype.toJSON = function() {
	return this.value;
};
l.prototype.peek = function() {
	var i = this;
	return f$1(function() {
		return i.value;
	});
};
Object.defineProperty(l.prototype, "value", {
	get: function() {
		var i = d$1(this);
		if (void 0 !== i) i.i = this.i;
		return this.v;
	},
	set: function(i) {
		if (i !== this.v) {
			if (s > 100) throw new Error("Cycle detected");
			(function(i) {
				if (0 !== v && 0 === s) {
					if (i.l !== u$1) {
						i.l = u$1;
						c = {
							S: i,
							v: i.v,
							i: i.i,
							o: c
						};
					}
				}
			})(this);
			this.v = i;
			this.i++;
			a$1++;
			v++;
			try {
				for (var r = this.t; void 0 !== r; r = r.x) r.t.N();
			} finally {
				t();
			}
		}
	}
});
function y$1(i, t) {
	return new l(i, t);
}
function w$1(i) {
	for (var t = i.s; void 0 !== t; t = t.n) if (t.S.i !== t.i || !t.S.h() || t.S.i !== t.i) return !0;
	return !1;
}
function b$1(i) {
	for (var t = i.s; void 0 !== t; t = t.n) {
		var r = t.S.n;
		if (void 0 !== r) t.r = r;
		t.S.n = t;
		t.i = -1;
		if (void 0 === t.n) {
			i.s = t;
			break;
		}
	}
}
function _$1(i) {
	var t = i.s, r = void 0;
	while (void 0 !== t) {
		var n = t.p;
		if (-1 === t.i) {
			t.S.U(t);
			if (void 0 !== n) n.n = t.n;
			if (void 0 !== t.n) t.n.p = n;
		} else r = t;
		t.S.n = t.r;
		if (void 0 !== t.r) t.r = void 0;
		t = n;
	}
	i.s = r;
}
function j(i, t) {
	l.call(this, void 0, t);
	this.x = i;
	this.s = void 0;
	this.g = a$1 - 1;
	this.f = 4;
}
j.prototype = new l();
j.prototype.h = function() {
	this.f &= -3;
	if (1 & this.f) return !1;
	if (32 == (36 & this.f)) return !0;
	this.f &= -5;
	if (this.g === a$1) return !0;
	this.g = a$1;
	this.f |= 1;
	if (this.i > 0 && !w$1(this)) {
		this.f &= -2;
		return !0;
	}
	var i = o$1;
	try {
		b$1(this);
		o$1 = this;
		var t = this.x();
		if (16 & this.f || this.v !== t || 0 === this.i) {
			this.v = t;
			this.f &= -17;
			this.i++;
		}
	} catch (i) {
		this.v = i;
		this.f |= 16;
		this.i++;
	}
	o$1 = i;
	_$1(this);
	this.f &= -2;
	return !0;
};
j.prototype.S = function(i) {
	if (void 0 === this.t) {
		this.f |= 36;
		for (var t = this.s; void 0 !== t; t = t.n) t.S.S(t);
	}
	l.prototype.S.call(this, i);
};
j.prototype.U = function(i) {
	if (void 0 !== this.t) {
		l.prototype.U.call(this, i);
		if (void 0 === this.t) {
			this.f &= -33;
			for (var t = this.s; void 0 !== t; t = t.n) t.S.U(t);
		}
	}
};
j.prototype.N = function() {
	if (!(2 & this.f)) {
		this.f |= 6;
		for (var i = this.t; void 0 !== i; i = i.x) i.t.N();
	}
};
Object.defineProperty(j.prototype, "value", { get: function() {
	if (1 & this.f) throw new Error("Cycle detected");
	var i = d$1(this);
	this.h();
	if (void 0 !== i) i.i = this.i;
	if (16 & this.f) throw this.v;
	return this.v;
} });
function O(i, t) {
	return new j(i, t);
}
function p$1(i) {
	var r = i.j;
	i.j = void 0;
	if ("function" == typeof r) {
		v++;
		var n = o$1;
		o$1 = void 0;
		try {
			r();
		} catch (t) {
			i.f &= -2;
			i.f |= 8;
			g$1(i);
			throw t;
		} finally {
			o$1 = n;
			t();
		}
	}
}
function g$1(i) {
	for (var t = i.s; void 0 !== t; t = t.n) t.S.U(t);
	i.x = void 0;
	i.s = void 0;
	p$1(i);
}
function S(i) {
	if (o$1 !== this) throw new Error("Out-of-order effect");
	_$1(this);
	o$1 = i;
	this.f &= -2;
	try {
		if (8 & this.f) g$1(this);
	} finally {
		t();
	}
}
function m$1(i, t) {
	this.x = i;
	this.j = void 0;
	this.s = void 0;
	this.u = void 0;
	this.f = 32;
	this.name = null == t ? void 0 : t.name;
	if (n) n.push(this);
}
m$1.prototype.c = function() {
	var i = this.S();
	try {
		if (8 & this.f) return;
		if (void 0 === this.x) return;
		var t = this.x();
		if ("function" == typeof t) this.j = t;
	} finally {
		i();
	}
};
m$1.prototype.S = function() {
	if (1 & this.f) throw new Error("Cycle detected");
	this.f |= 1;
	this.f &= -9;
	p$1(this);
	b$1(this);
	v++;
	var i = o$1;
	o$1 = this;
	return S.bind(this, i);
};
m$1.prototype.N = function() {
	if (!(2 & this.f)) {
		this.f |= 2;
		this.u = h$1;
		h$1 = this;
	}
};
m$1.prototype.d = function() {
	this.f |= 8;
	if (!(1 & this.f)) g$1(this);
};
m$1.prototype.dispose = function() {
	this.d();
};
function x$1(i, t) {
	var r = new m$1(i, t);
	try {
		r.c();
	} catch (i) {
		r.d();
		throw i;
	}
	var n = r.d.bind(r);
	n[Symbol.dispose] = n;
	return n;
}
// node_modules/@preact/signals/dist/signals.module.js
var h;
var d;
var p;
var m = "undefined" != typeof window && !!window.__PREACT_SIGNALS_DEVTOOLS__;
var _ = [];
var g = [];
x$1(function() {
	h = this.N;
})();
function b(i, n) {
	n$1[i] = n.bind(null, n$1[i] || function() {});
}
function y(i) {
	if (p) {
		var n = p;
		p = void 0;
		n();
	}
	p = i && i.S();
}
function w(i) {
	var n = this, r = i.data, t = useSignal(r);
	t.name = "ReactiveDom";
	t.value = r;
	var e = w$2(function() {
		var i = n, r = n.__v;
		while (r = r.__) if (r.__c) {
			r.__c.__$f |= 4;
			break;
		}
		var o = O(function() {
			var i = t.value.value;
			return 0 === i ? 0 : !0 === i ? "" : i || "";
		}), e = O(function() {
			return !Array.isArray(o.value) && !r$2(o.value);
		}), u = x$1(function() {
			this.N = M;
			if (e.value) {
				var n = o.value;
				if (i.__v && i.__v.__e && 3 === i.__v.__e.nodeType) i.__v.__e.data = n;
			}
		}), c = n.__$u.d;
		n.__$u.d = function() {
			u();
			c.call(this);
		};
		return [e, o];
	}, []), u = e[0], c = e[1];
	return u.value ? c.peek() : c.value;
}
w.displayName = "ReactiveTextNode";
Object.defineProperties(l.prototype, {
	constructor: {
		configurable: !0,
		value: k$2($, null).constructor
	},
	type: {
		configurable: !0,
		value: w
	},
	props: {
		configurable: !0,
		get: function() {
			var i = this;
			return { data: { get value() {
				return i.value;
			} } };
		}
	},
	__b: {
		configurable: !0,
		value: 1
	}
});
b("__b", function(i, n) {
	y();
	d = void 0;
	if ("string" == typeof n.type) {
		var r, t = n.props;
		for (var f in t) if ("children" !== f) {
			var o = t[f];
			if (o instanceof l) {
				if (!r) n.__np = r = {};
				r[f] = o;
				t[f] = o.peek();
			}
		}
	}
	i(n);
});
b("__r", function(i, r) {
	i(r);
	if (r.type !== $) {
		y();
		var t, f = r.__c;
		if (f) {
			f.__$f &= -2;
			if (void 0 === (t = f.__$u)) f.__$u = t = function(i, n) {
				var r;
				x$1(function() {
					r = this;
				}, { name: n });
				r.c = i;
				return r;
			}(function(i) {
				return function() {
					var n;
					if (m) null == (n = this.y) || n.call(this);
					i.__$f |= 1;
					i.setState({});
				};
			}(f), "function" == typeof r.type ? r.type.displayName || r.type.name : "");
		}
		d = f;
		y(t);
	}
});
b("__e", function(i, n, r, t) {
	y();
	d = void 0;
	i(n, r, t);
});
b("diffed", function(i, n) {
	y();
	d = void 0;
	var r;
	if ("string" == typeof n.type && (r = n.__e)) {
		var t = n.__np, f = n.props, o = r.U;
		if (o) for (var e in o) {
			var u = o[e];
			if (!(void 0 === u || t && e in t)) {
				u.d();
				o[e] = void 0;
			}
		}
		if (t) {
			if (!o) {
				o = {};
				r.U = o;
			}
			for (var a in t) {
				var c = o[a], v = t[a];
				if (void 0 === c) {
					c = k(r, a, v, f);
					o[a] = c;
				} else c.o(v, f);
			}
		}
	}
	i(n);
});
function k(i, n, r, t) {
	var f = n in i && void 0 === i.ownerSVGElement, o = y$1(r);
	return {
		o: function(i, n) {
			o.value = i;
			t = n;
		},
		d: x$1(function() {
			this.N = M;
			var r = o.value.value;
			if (t[n] !== r) {
				t[n] = r;
				if (f) i[n] = r;
				else if (null != r && (!1 !== r || "-" === n[4])) i.setAttribute(n, r);
				else i.removeAttribute(n);
			}
		})
	};
}
b("unmount", function(i, n) {
	if ("string" == typeof n.type) {
		var r = n.__e;
		if (r) {
			var t = r.U;
			if (t) {
				r.U = void 0;
				for (var f in t) {
					var o = t[f];
					if (o) o.d();
				}
			}
		}
		var e = n.__np;
		if (e) {
			var u = n.props;
			for (var a in e) u[a] = e[a];
		}
		n.__np = void 0;
	} else {
		var c = n.__c;
		if (c) {
			c.__$f |= 8;
			var v = c.__$u;
			if (v) {
				c.__$u = void 0;
				v.d();
			}
		}
	}
	i(n);
});
b("__h", function(i, n, r, t) {
	if (t < 3) n.__$f |= 2;
	i(n, r, t);
});
x$2.prototype.shouldComponentUpdate = function(i, n) {
	if (this.__R) return !0;
	var r = this.__$u, t = r && void 0 !== r.s;
	for (var f in n) return !0;
	if (this.__f || "boolean" == typeof this.u && !0 === this.u) {
		var o = 2 & this.__$f;
		if (!(t || o || 4 & this.__$f)) return !0;
		if (1 & this.__$f) return !0;
	} else {
		if (!(t || 4 & this.__$f)) return !0;
		if (3 & this.__$f) return !0;
	}
	for (var e in i) if ("__source" !== e && i[e] !== this.props[e]) return !0;
	for (var u in this.props) if (!(u in i)) return !0;
	return !1;
};
function useSignal(i, n) {
	return w$2(function() {
		return y$1(i, n);
	}, []);
}
var q = "undefined" == typeof requestAnimationFrame ? setTimeout : function(i) {
	var n = function() {
		clearTimeout(r);
		cancelAnimationFrame(t);
		i();
	}, r = setTimeout(n, 35), t = requestAnimationFrame(n);
};
var A = function(i) {
	queueMicrotask(function() {
		queueMicrotask(i);
	});
};
function T() {
	r(function() {
		var i;
		while (i = _.shift()) h.call(i);
	});
}
function x() {
	if (1 === _.push(this)) (n$1.requestAnimationFrame || q)(T);
}
function F() {
	r(function() {
		var i;
		while (i = g.shift()) h.call(i);
	});
}
function M() {
	if (1 === g.push(this)) (n$1.requestAnimationFrame || A)(F);
}
function useSignalEffect(i, n) {
	var r = T$1(i);
	r.current = i;
	var t = d;
	A$1(function() {
		return x$1(function() {
			this.N = x;
			if (!(t && 8 & t.__$f)) return r.current();
		}, n);
	}, []);
}
// src/keys.ts
var areOn = y$1(localStorage.getItem("hal.keys") !== "off");
function setKeys(on) {
	areOn.value = on;
	localStorage.setItem("hal.keys", on ? "on" : "off");
}
/** The keys of the screen that is shown. */
var ofScreen = y$1([]);
/** The keys of every screen. */
var ofAll = y$1([]);
var before = "";
var beforeAt = 0;
function isField(target) {
	return target instanceof Element && !!target.closest("input:not([type=radio]):not([type=checkbox]), textarea, select");
}
function watch$3() {
	document.addEventListener("keydown", (event) => {
		if (!areOn.value || event.ctrlKey || event.metaKey || event.altKey || event.repeat || isField(event.target)) return;
		if (document.querySelector("dialog[open]") && event.key !== "?") return;
		const pair = Date.now() - beforeAt < 1500 ? `${before} ${event.key}` : "";
		const all = [...ofScreen.value, ...ofAll.value];
		const found = all.find((one) => one.key === pair) ?? all.find((one) => one.key === event.key);
		[before, beforeAt] = [event.key, Date.now()];
		if (!found) return;
		event.preventDefault();
		found.act();
	});
}
// src/api/call.ts
/** An answer that says no. */
var Refused = class extends Error {
	status;
	code;
	constructor(status, code, sentence) {
		super(sentence);
		this.status = status;
		this.code = code;
	}
};
/** No answer: the request may or may not have had its effect. */
var NoAnswer = class extends Error {};
/** The address of something below the page's base, whatever path a proxy has put before it. */
function address(path) {
	return new URL(path, document.baseURI);
}
async function call(method, path, body, key) {
	const headers = { Accept: "application/json" };
	if (body !== void 0) headers["Content-Type"] = "application/json";
	if (key) headers["Idempotency-Key"] = key;
	let response;
	let text;
	try {
		response = await fetch(address(path), {
			method,
			headers,
			body: body === void 0 ? null : JSON.stringify(body),
			credentials: "same-origin",
			cache: "no-store",
			redirect: "error"
		});
		text = await response.text();
	} catch {
		throw new NoAnswer("no answer from the supervisor");
	}
	let read;
	try {
		read = JSON.parse(text);
	} catch {
		throw new Refused(response.status, "UNREADABLE", `an answer that is not the supervisor's (${response.status})`);
	}
	if (!response.ok) throw new Refused(response.status, read.code ?? "", read.error ?? `status ${response.status}`);
	return read;
}
var get = async (path) => (await call("GET", path)).data;
/** A page of a list, with what is said about it. */
var list = (path) => call("GET", path);
var post = async (path, body = {}, key) => (await call("POST", path, body, key)).data;
var remove = async (path) => (await call("DELETE", path)).data;
/** A part of a path, whatever is in it. */
var part = encodeURIComponent;
/** A sentence for people. */
function sentence(error) {
	return error instanceof Error ? error.message : String(error);
}
// src/live/store.ts
/** Who is logged in: undefined, not known yet; null, nobody. */
var me = y$1(void 0);
var connection = y$1({
	state: "connecting",
	since: Date.now()
});
/** True when the page has lost the supervisor for long enough to say so. */
var isLost = y$1(false);
/** When the last frame came, by this machine's clock. */
var heardAt = y$1(0);
/** That all was taken anew, as it could not be told what had changed. */
var tookAnew = y$1(false);
/** The supervisor's build of the page; empty: not known. */
var serverBuild = y$1("");
var serverVersion = y$1("");
/** By how much the supervisor's clock is ahead of this machine's, in milliseconds. */
var skew = y$1(0);
/** The supervisor's time, every second while somebody looks. */
var now = y$1(Date.now());
function tick() {
	now.value = Date.now() + skew.value;
}
var chrome = y$1(void 0);
var approvals = y$1(/* @__PURE__ */ new Map());
var haveApprovals = y$1(false);
var turns = y$1(/* @__PURE__ */ new Map());
var haveTurns = y$1(false);
/** A window of the fleet, and the session that is shown: things by their ids; undefined, nothing was told yet. */
var fleet = y$1(void 0);
var session = y$1(void 0);
/** What is being written in the session that is watched; the screen takes it in as it comes. */
var live = y$1(void 0);
var needsYou = O(() => chrome.value?.needs_you ?? 0);
/** Nothing of it is true for whoever logs in next. */
function forget$1() {
	chrome.value = void 0;
	approvals.value = /* @__PURE__ */ new Map();
	haveApprovals.value = false;
	turns.value = /* @__PURE__ */ new Map();
	haveTurns.value = false;
	fleet.value = void 0;
	session.value = void 0;
	live.value = void 0;
	serverBuild.value = "";
}
// src/live/socket.ts
/** No byte for this long: the way is dead, whatever the socket says. The supervisor says something every 20 s. */
var SILENCE = 45e3;
/** Whoever comes back to the page after this much silence does not wait for the rest of it. */
var SILENCE_ON_RETURN = 25e3;
var CONNECT_LIMIT = 1e4;
var FIRST_WAIT = 1e3;
var LONGEST_WAIT = 3e4;
/** A connection that is back within this time was never away, to people. */
var PATIENCE$1 = 3e3;
/** The supervisor takes frames of 64 KiB: with more than this nothing is said of what is there, and all is told again. */
var MOST_HAVE = 49152;
/** A page that nobody sees lets go after this. */
var HIDDEN_LIMIT = 3e5;
var socket;
var cursor = "";
var wait = 0;
var retry;
var limit;
var hiddenSince = 0;
var isRunning = false;
var topics = ["chrome", "approvals"];
var watched = "";
var versions = /* @__PURE__ */ new Map();
/** Begins to follow; does nothing when it does already. */
function start() {
	if (isRunning) return;
	isRunning = true;
	wait = 0;
	connect();
}
/** Follows no more, and forgets what was told. */
function stop() {
	isRunning = false;
	drop();
	window.clearTimeout(retry);
	cursor = "";
	versions.clear();
	forget$1();
	isLost.value = false;
}
var word = (topic) => topic.split("?")[0] ?? "";
/** Which topics the screen needs beside what every page has, and the session of which it shows what is being written. */
function follow(more, session = "") {
	const wanted = [
		"chrome",
		"approvals",
		...more
	];
	if (wanted.join() !== topics.join()) {
		const stays = (name) => wanted.some((topic) => word(topic) === name && (name !== "session" || topics.includes(topic)));
		for (const name of [
			"halt",
			"fleet",
			"session"
		]) {
			if (stays(name)) continue;
			versions.delete(name);
			forget(name);
		}
		topics = wanted;
		say$1({ topics });
	}
	if (session !== watched) {
		watched = session;
		live.value = void 0;
		say$1({ watch: watched });
	}
}
function forget(name) {
	if (name === "fleet") fleet.value = void 0;
	if (name === "session") session.value = void 0;
	if (name === "halt") {
		turns.value = /* @__PURE__ */ new Map();
		haveTurns.value = false;
	}
}
function say$1(words) {
	if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(words));
}
function connect() {
	window.clearTimeout(retry);
	drop();
	const url = address("api/v1/live");
	url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
	const own = new WebSocket(url, "hal.live.1");
	socket = own;
	limit = window.setTimeout(() => lost(own), CONNECT_LIMIT);
	own.onopen = () => {
		const have = {};
		for (const [topic, its] of versions) have[topic] = Object.fromEntries(its);
		const hello = {
			cursor,
			topics,
			have,
			visible: !document.hidden,
			watch: watched
		};
		const words = JSON.stringify({ hello });
		own.send(words.length <= MOST_HAVE ? words : JSON.stringify({ hello: {
			...hello,
			have: {}
		} }));
	};
	own.onmessage = (message) => {
		if (own !== socket) return;
		heardAt.value = Date.now();
		take$2(JSON.parse(message.data));
	};
	own.onclose = () => lost(own);
}
/** Forgets the socket: what it says later is not heard. */
function drop() {
	window.clearTimeout(limit);
	const old = socket;
	socket = void 0;
	old?.close();
}
function lost(own) {
	if (own !== socket) return;
	drop();
	if (!isRunning) return;
	if (connection.value.state !== "offline") {
		connection.value = {
			state: "offline",
			since: Date.now()
		};
		window.setTimeout(() => {
			isLost.value = connection.value.state === "offline";
		}, PATIENCE$1);
	}
	askWhether();
}
/** A handshake that is refused says nothing of why: whether this browser is still logged in is asked for. */
async function askWhether() {
	try {
		me.value = await get("api/v1/whoami");
	} catch (error) {
		if (error instanceof Refused && error.status === 401) {
			stop();
			me.value = null;
			return;
		}
	}
	if (!isRunning || socket) return;
	const pause = wait === 0 ? 0 : wait * (.75 + Math.random() / 2);
	wait = Math.min(wait === 0 ? FIRST_WAIT : wait * 2, LONGEST_WAIT);
	retry = window.setTimeout(connect, pause);
}
function take$2(frame) {
	if (frame.server) {
		window.clearTimeout(limit);
		skew.value = Date.parse(frame.server.now) - Date.now();
		tick();
		serverBuild.value = frame.server.build;
		serverVersion.value = frame.server.version;
	}
	r(() => {
		if (frame.verdict === "gap") {
			versions.clear();
			tookAnew.value = true;
			window.setTimeout(() => tookAnew.value = false, 8e3);
		}
		if (frame.verdict) {
			wait = 0;
			connection.value = { state: "live" };
			isLost.value = false;
		}
		if (frame.picture) {
			put$2(frame.picture, frame.items ?? [], void 0);
			cursor = frame.as_of ?? cursor;
		}
		if (frame.change) {
			put$2(frame.change, frame.upsert ?? [], frame.gone ?? []);
			cursor = frame.cursor ?? cursor;
		}
	});
	if (frame.live !== void 0 && frame.live === watched) live.value = frame;
	if (frame.verdict) cursor = frame.cursor ?? cursor;
	if (frame.ping) {
		skew.value = Date.parse(frame.ping) - Date.now();
		say$1({ pong: true });
	}
}
/** Takes things in; without `gone` they are all there is. */
function put$2(topic, items, gone) {
	const known = gone ? versions.get(topic) ?? /* @__PURE__ */ new Map() : /* @__PURE__ */ new Map();
	for (const item of items) known.set(item.id, item.v);
	for (const id of gone ?? []) known.delete(id);
	versions.set(topic, known);
	const merged = (before) => {
		const after = new Map(gone ? before : []);
		for (const item of items) after.set(item.id, item.view);
		for (const id of gone ?? []) after.delete(id);
		return after;
	};
	if (topic === "chrome" && items[0]) chrome.value = items[0].view;
	if (topic === "approvals") {
		approvals.value = merged(approvals.value);
		haveApprovals.value = true;
	}
	if (topic === "fleet") fleet.value = merged(fleet.value ?? /* @__PURE__ */ new Map());
	if (topic === "session") session.value = merged(session.value ?? /* @__PURE__ */ new Map());
	if (topic === "halt") {
		turns.value = merged(turns.value);
		haveTurns.value = true;
	}
}
/** Looks whether the way is still there, as somebody looks at the page again. */
function distrust(silence) {
	if (!isRunning) return;
	if (!socket) {
		wait = 0;
		connect();
		return;
	}
	if (socket.readyState !== WebSocket.OPEN) return;
	if (Date.now() - heardAt.value > silence && heardAt.value > 0) lost(socket);
}
function watch$2() {
	window.setInterval(() => {
		if (!document.hidden) tick();
		if (socket && Date.now() - heardAt.value > SILENCE && connection.value.state === "live") lost(socket);
		if (document.hidden && hiddenSince && Date.now() - hiddenSince > HIDDEN_LIMIT && socket) {
			drop();
			connection.value = {
				state: "connecting",
				since: Date.now()
			};
		}
	}, 1e3);
	document.addEventListener("visibilitychange", () => {
		hiddenSince = document.hidden ? Date.now() : 0;
		if (!document.hidden) {
			tick();
			distrust(SILENCE_ON_RETURN);
		}
		say$1({ visible: !document.hidden });
	});
	window.addEventListener("online", () => distrust(0));
	window.addEventListener("pageshow", () => distrust(SILENCE_ON_RETURN));
}
// src/words.ts
/** The states in the order in which lists show them. */
var STATES$2 = [
	"waiting",
	"running",
	"retrying",
	"idle",
	"error",
	"unreachable",
	"ended"
];
var ROLES = [
	"agent",
	"metrics",
	"viewer",
	"approver",
	"operator",
	"admin"
];
/** True when whoever has this role may do what takes the other one. */
function may(role, least) {
	return role !== void 0 && ROLES.indexOf(role) >= ROLES.indexOf(least);
}
/** True while an answer is still wanted. */
function wantsAnswer(approval) {
	return approval.state === "waiting" || approval.state === "undelivered";
}
// node_modules/preact/jsx-runtime/dist/jsxRuntime.mjs
var f = Symbol.for("pv");
var o = 0;
Array.isArray;
function a(t, e, n, u, a, i) {
	e || (e = {});
	var c, l, p = e;
	if ("ref" in p && "function" != typeof t) for (l in p = {}, e) "ref" == l ? c = e[l] : p[l] = e[l];
	var s = {
		type: t,
		props: p,
		key: n,
		ref: c,
		__k: null,
		__: null,
		__b: 0,
		__e: null,
		__c: null,
		constructor: f,
		__v: --o,
		__i: -1,
		__u: 0
	};
	return (a || i) && (s.__source = a, s.__self = i), n$1.vnode && n$1.vnode(s), s;
}
// src/parts/copy.tsx
/** A word as a shell takes it for one. */
function quoted(word) {
	return /^[A-Za-z0-9._\-/+,:@%]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
function Line({ text }) {
	const [copied, setCopied] = d$2("");
	const copy = async () => {
		try {
			await navigator.clipboard.writeText(text);
			setCopied("copied");
		} catch {
			setCopied("select it");
		}
		window.setTimeout(() => setCopied(""), 2e3);
	};
	return /* @__PURE__ */ a("div", {
		class: "line",
		children: [/* @__PURE__ */ a("code", { children: text }), /* @__PURE__ */ a("button", {
			type: "button",
			class: "quiet",
			onClick: copy,
			"aria-label": `copy: ${text}`,
			children: copied || "copy"
		})]
	});
}
/** The same at a terminal. */
function Terminal({ lines }) {
	return /* @__PURE__ */ a("details", {
		class: "terminal",
		children: [/* @__PURE__ */ a("summary", { children: "At a terminal" }), lines.map((line) => /* @__PURE__ */ a(Line, { text: line }, line))]
	});
}
// src/route.ts
var base = new URL(document.baseURI).pathname;
var path = y$1(below$1(location.pathname));
/** What stands behind the `?` of the address. */
var search = y$1(location.search.slice(1));
function below$1(pathname) {
	return pathname.startsWith(base) ? pathname.slice(base.length) : "";
}
var screen = O(() => {
	const [name, id] = path.value.split("/");
	switch (name) {
		case "":
		case "login": return { name: "needs-you" };
		case "needs-you": return id ? {
			name: "needs-you",
			approval: decoded(id)
		} : { name: "needs-you" };
		case "sessions": return id ? {
			name: "sessions",
			session: decoded(id)
		} : { name: "fleet" };
		case "nodes": return id ? {
			name,
			node: decoded(id)
		} : { name };
		case "alerts": return id ? {
			name,
			alert: decoded(id)
		} : { name };
		case "fleet":
		case "money":
		case "audit":
		case "halt":
		case "me": return { name };
		default: return {
			name: "nothing",
			path: path.value
		};
	}
});
function decoded(text) {
	try {
		return decodeURIComponent(text);
	} catch {
		return text;
	}
}
/** The address of a screen, as it stands in a link. */
function href(name, id) {
	return base + (id ? `${name}/${part(id)}` : name);
}
function look$1() {
	path.value = below$1(location.pathname);
	search.value = location.search.slice(1);
}
/** Shows another screen. */
function go(to) {
	if (to === location.pathname + location.search) return;
	history.pushState(null, "", to);
	look$1();
	window.scrollTo(0, 0);
}
/** The same screen with something else behind the `?`: no step back leads to each letter of a search. */
function refine(query) {
	const text = query.toString();
	history.replaceState(null, "", location.pathname + (text ? `?${text}` : ""));
	search.value = text;
}
function watch$1() {
	window.addEventListener("popstate", look$1);
	document.addEventListener("click", (event) => {
		const link = event.target instanceof Element ? event.target.closest("a") : null;
		const is_plain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
		if (!link || !is_plain || link.target || link.origin !== location.origin || link.hasAttribute("download")) return;
		if (!link.pathname.startsWith(base) || link.pathname.includes("/api/") || link.hash) return;
		event.preventDefault();
		go(link.pathname + link.search);
	});
}
// src/parts/text.tsx
/** Characters that are not seen, or that change how others are seen. Line ends and tabs are not among them. */
var HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00a0\u00ad\u034f\u061c\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180f\u2000-\u200f\u2028-\u202f\u205f-\u206f\u2800\u3000\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\uffff]|[\u{1d173}-\u{1d17a}]|[\u{e0000}-\u{e0fff}]|[\ud800-\udfff]/gu;
var NAMES = {
	0: "NUL",
	7: "BEL",
	8: "BS",
	13: "CR",
	27: "ESC",
	127: "DEL",
	160: "NBSP",
	173: "SHY",
	8203: "ZWSP",
	8204: "ZWNJ",
	8205: "ZWJ",
	8206: "LRM",
	8207: "RLM",
	8234: "LRE",
	8235: "RLE",
	8236: "PDF",
	8237: "LRO",
	8238: "RLO",
	8294: "LRI",
	8295: "RLI",
	8296: "FSI",
	8297: "PDI",
	65279: "BOM"
};
/** How many characters of a text are hidden ones. */
function countHidden(text) {
	return text.match(HIDDEN)?.length ?? 0;
}
function nameOf$1(character) {
	const code = character.codePointAt(0) ?? 0;
	return NAMES[code] ?? `U+${code.toString(16).toUpperCase().padStart(4, "0")}`;
}
/** A text with its hidden characters named. */
function Visible({ text }) {
	const out = [];
	let end = 0;
	for (const match of text.matchAll(HIDDEN)) {
		out.push(text.slice(end, match.index));
		const name = nameOf$1(match[0]);
		out.push(/* @__PURE__ */ a("mark", {
			class: "hidden-char",
			title: `hidden character ${name}`,
			children: name
		}));
		end = match.index + match[0].length;
	}
	out.push(text.slice(end));
	return /* @__PURE__ */ a($, { children: out });
}
/** A name or a title, on one line, isolated from what stands beside it. */
function Name({ text }) {
	return /* @__PURE__ */ a("bdi", {
		class: "name",
		title: text,
		children: /* @__PURE__ */ a(Visible, { text })
	});
}
// src/parts/time.tsx
var inUtc = y$1(localStorage.getItem("hal.utc") === "yes");
function setUtc(utc) {
	inUtc.value = utc;
	localStorage.setItem("hal.utc", utc ? "yes" : "no");
}
/** A span in words of one or two units. */
function span(milliseconds) {
	const seconds = Math.max(0, Math.floor(milliseconds / 1e3));
	if (seconds < 60) return `${seconds} s`;
	const minutes = Math.floor(seconds / 60);
	if (minutes < 60) return minutes < 10 ? `${minutes} min ${seconds % 60} s` : `${minutes} min`;
	const hours = Math.floor(minutes / 60);
	if (hours < 48) return `${hours} h ${minutes % 60} min`;
	return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}
/** The whole of a time, in this place's zone or in UTC. */
function exact(at) {
	const zone = inUtc.value ? { timeZone: "UTC" } : {};
	return new Intl.DateTimeFormat(void 0, {
		dateStyle: "medium",
		timeStyle: "long",
		...zone
	}).format(new Date(at));
}
/** The time of day, and the day where it is another one. */
function clock(at) {
	const date = new Date(at);
	const zone = inUtc.value ? { timeZone: "UTC" } : {};
	const day = Math.abs(now.value - date.getTime()) < 648e5 ? {} : {
		day: "numeric",
		month: "short"
	};
	return new Intl.DateTimeFormat(void 0, {
		hour: "2-digit",
		minute: "2-digit",
		second: "2-digit",
		...day,
		...zone
	}).format(date) + (inUtc.value ? " UTC" : "");
}
/** How long ago it was. */
function Ago({ at, words = "ago" }) {
	if (at === "0001-01-01T00:00:00Z" || Number.isNaN(Date.parse(at))) return /* @__PURE__ */ a($, { children: "never" });
	return /* @__PURE__ */ a("time", {
		dateTime: at,
		title: exact(at),
		children: [span(now.value - Date.parse(at)), words && ` ${words}`]
	});
}
/** A moment. */
function At({ at }) {
	return /* @__PURE__ */ a("time", {
		dateTime: at,
		title: exact(at),
		children: clock(at)
	});
}
// src/parts/receipt.tsx
var WORDS$2 = {
	asked: "asked",
	seen: "seen",
	snoozed: "snoozed",
	answered: "answered",
	reached: "reached the node",
	undelivered: "did not arrive",
	moved_on: "the session moved on"
};
var MARKS$1 = {
	asked: "?",
	seen: "◦",
	snoozed: "z",
	answered: "✓",
	reached: "✓",
	undelivered: "✕",
	moved_on: "●"
};
function who(line) {
	const word = line.stage === "reached" || line.stage === "undelivered" ? "on" : "by";
	if (line.stage === "asked" || line.stage === "moved_on" || !line.by) return "";
	return ` ${word} ${line.by}${line.over ? ` over ${line.over}` : ""}`;
}
function Receipt({ approval }) {
	return /* @__PURE__ */ a("ol", {
		class: "receipt",
		"aria-label": "Receipt",
		children: approval.receipt.map((line, index) => /* @__PURE__ */ a("li", {
			class: `step ${line.stage}`,
			children: [
				/* @__PURE__ */ a("span", {
					class: "mark",
					"aria-hidden": "true",
					children: MARKS$1[line.stage] ?? "·"
				}),
				/* @__PURE__ */ a("span", { children: [
					/* @__PURE__ */ a("b", { children: WORDS$2[line.stage] ?? line.stage }),
					/* @__PURE__ */ a(Visible, { text: who(line) }),
					line.note && /* @__PURE__ */ a($, { children: [": ", /* @__PURE__ */ a(Visible, { text: line.note })] })
				] }),
				/* @__PURE__ */ a(At, { at: line.at })
			]
		}, index))
	});
}
/** What comes next, while something does. */
function Next({ approval }) {
	const word = {
		waiting: null,
		answered: `on its way to ${approval.node_id} …`,
		reached: "the node has it; waiting for the session to move on …",
		settled: null,
		undelivered: null,
		lapsed: null
	}[approval.state];
	return word ? /* @__PURE__ */ a("p", {
		class: "next",
		children: [
			/* @__PURE__ */ a("span", {
				class: "spinner",
				"aria-hidden": "true"
			}),
			" ",
			word
		]
	}) : null;
}
// src/nouns/answer.ts
var KEY$1 = "hal.pending";
var pending = y$1(kept$1());
/** What this tab had sent before it was reloaded: whether that arrived is not known. */
function kept$1() {
	try {
		const all = JSON.parse(sessionStorage.getItem(KEY$1) ?? "{}");
		const entries = Object.entries(all).map(([id, one]) => [id, one.state === "sending" ? {
			...one,
			state: "unknown",
			why: "this page was reloaded"
		} : one]);
		return Object.fromEntries(entries);
	} catch {
		return {};
	}
}
function put$1(id, one) {
	const all = { ...pending.value };
	if (one) all[id] = one;
	else delete all[id];
	pending.value = all;
	sessionStorage.setItem(KEY$1, JSON.stringify(all));
}
function settle(id) {
	if (pending.value[id]) put$1(id, void 0);
}
/** Takes a view in, unless a later one is there. */
function take$1(view) {
	const known = approvals.value.get(view.id);
	if (known && known.receipt.length > view.receipt.length) return;
	approvals.value = new Map(approvals.value).set(view.id, view);
}
async function send$1(id, word, what, body) {
	if (pending.value[id]?.state === "sending") return false;
	put$1(id, {
		word,
		sentAt: Date.now(),
		state: "sending",
		why: ""
	});
	try {
		take$1(await post(`api/v1/approvals/${part(id)}/${what}`, body));
		settle(id);
		return true;
	} catch (error) {
		const state = error instanceof NoAnswer ? "unknown" : "refused";
		put$1(id, {
			word,
			sentAt: Date.now(),
			state,
			why: sentence(error)
		});
		return false;
	}
}
var allow = (id, always) => send$1(id, always ? "Always allow" : "Allow once", "answer", { reply: always ? "always" : "once" });
var deny = (id, message) => send$1(id, "Deny", "answer", message ? {
	reply: "reject",
	message
} : { reply: "reject" });
var choose = (id, answers) => send$1(id, "Answer", "answer", {
	reply: "answers",
	answers
});
var snooze = (id, seconds) => send$1(id, "Snooze", "snooze", { seconds });
// src/nouns/question.tsx
function Questions({ approval, cannot, send }) {
	const questions = approval.questions?.length ? approval.questions : [{
		question: approval.what,
		options: []
	}];
	const [chosen, setChosen] = d$2({});
	const [own, setOwn] = d$2({});
	const answers = questions.map((_, index) => (own[index]?.trim() || chosen[index]) ?? "");
	const isWhole = answers.every((answer) => answer !== "");
	const submit = (event) => {
		event.preventDefault();
		if (!cannot && isWhole) send(answers.map((answer) => [answer]));
	};
	return /* @__PURE__ */ a("form", {
		class: "questions",
		onSubmit: submit,
		children: [questions.map((one, index) => /* @__PURE__ */ a("fieldset", { children: [
			/* @__PURE__ */ a("legend", { children: /* @__PURE__ */ a(Visible, { text: one.question }) }),
			one.options.map((option) => /* @__PURE__ */ a("label", {
				class: "choice",
				children: [/* @__PURE__ */ a("input", {
					type: "radio",
					name: `q-${approval.id}-${index}`,
					checked: !own[index] && chosen[index] === option.label,
					onChange: () => {
						setChosen({
							...chosen,
							[index]: option.label
						});
						setOwn({
							...own,
							[index]: ""
						});
					}
				}), /* @__PURE__ */ a("span", { children: [
					/* @__PURE__ */ a("b", { children: /* @__PURE__ */ a(Visible, { text: option.label }) }),
					" ",
					/* @__PURE__ */ a("span", {
						class: "dim",
						children: /* @__PURE__ */ a(Visible, { text: option.description })
					})
				] })]
			}, option.label)),
			/* @__PURE__ */ a("label", {
				class: "own",
				children: [one.options.length > 0 ? "or in your own words" : "Your answer", /* @__PURE__ */ a("input", {
					type: "text",
					value: own[index] ?? "",
					onInput: (event) => setOwn({
						...own,
						[index]: event.currentTarget.value
					})
				})]
			})
		] }, index)), /* @__PURE__ */ a("button", {
			type: "submit",
			class: "primary",
			"data-act": "answer",
			disabled: !!cannot || !isWhole,
			title: cannot || (isWhole ? "" : "choose an answer to each question"),
			children: "Answer"
		})]
	});
}
// src/nouns/seen.ts
/** A card that is only scrolled past was not seen. */
var LOOKED = 1e3;
/** Cards that come into view together are told of together. */
var TOGETHER = 300;
var told = /* @__PURE__ */ new Set();
var timers = /* @__PURE__ */ new Map();
var open = /* @__PURE__ */ new Set();
var later$1;
var eyes = new IntersectionObserver((entries) => {
	for (const entry of entries) {
		window.clearTimeout(timers.get(entry.target));
		timers.delete(entry.target);
		const fills = entry.intersectionRect.height > window.innerHeight * .6;
		if (entry.intersectionRatio > .6 || fills) timers.set(entry.target, window.setTimeout(() => note(entry.target), LOOKED));
	}
}, { threshold: [
	0,
	.25,
	.5,
	.61,
	.75,
	1
] });
function note(card) {
	const id = card.getAttribute("data-approval");
	if (!id || document.hidden || !card.isConnected || told.has(id) || !may(me.value?.role, "approver")) return;
	told.add(id);
	open.add(id);
	window.clearTimeout(later$1);
	later$1 = window.setTimeout(() => {
		const ids = [...open].slice(0, 100);
		open = /* @__PURE__ */ new Set();
		post("api/v1/approvals/seen", { ids }).catch(() => ids.forEach((one) => told.delete(one)));
	}, TOGETHER);
}
/** Watches a card; gives what ends that. */
function watch(card) {
	eyes.observe(card);
	return () => {
		eyes.unobserve(card);
		window.clearTimeout(timers.get(card));
		timers.delete(card);
	};
}
// src/nouns/card.tsx
/** Beyond this a command is folded, and nobody allows what they have not unfolded. */
var LINES = 30;
var LETTERS = 3e3;
/** What the supervisor itself cuts off: see MAX_WHAT there. */
var MOST_LETTERS = 65536;
var WORDS$1 = {
	waiting: "waits for you",
	answered: "answer on its way",
	reached: "answer has arrived",
	settled: "went on",
	undelivered: "answer did not arrive",
	lapsed: "over"
};
var SNOOZES = [
	["15 min", 900],
	["1 hour", 3600],
	["4 hours", 14400],
	["until tomorrow", 57600]
];
function Card({ approval, level }) {
	const element = T$1(null);
	const waits = wantsAnswer(approval);
	A$1(() => element.current && waits ? watch(element.current) : void 0, [waits]);
	const sent = pending.value[approval.id];
	A$1(() => {
		if (sent && sent.state !== "refused" && sent.word !== "Snooze" && !wantsAnswer(approval)) settle(approval.id);
	});
	const Title = level;
	return /* @__PURE__ */ a("article", {
		ref: element,
		class: `card ${approval.state}`,
		id: `a-${approval.id}`,
		"data-approval": approval.id,
		"aria-labelledby": `t-${approval.id}`,
		tabIndex: -1,
		children: [
			/* @__PURE__ */ a("header", { children: [/* @__PURE__ */ a(Title, {
				id: `t-${approval.id}`,
				children: [
					/* @__PURE__ */ a("span", {
						class: "about",
						children: /* @__PURE__ */ a(Visible, { text: approval.about || approval.kind })
					}),
					" ",
					/* @__PURE__ */ a("span", {
						class: "place",
						children: [
							/* @__PURE__ */ a(Name, { text: approval.project }),
							" ",
							/* @__PURE__ */ a("span", {
								class: "dim",
								children: "on"
							}),
							" ",
							/* @__PURE__ */ a(Name, { text: approval.node_id })
						]
					})
				]
			}), /* @__PURE__ */ a(Standing, { approval })] }),
			/* @__PURE__ */ a(What, { approval }),
			/* @__PURE__ */ a(Sent, {
				approval,
				sent
			}),
			!waits && /* @__PURE__ */ a(Next, { approval }),
			/* @__PURE__ */ a(Receipt, { approval }),
			/* @__PURE__ */ a("footer", { children: [/* @__PURE__ */ a("a", {
				href: href("needs-you", approval.id),
				class: "dim",
				title: "a link to this approval",
				children: /* @__PURE__ */ a(Visible, { text: approval.id })
			}), /* @__PURE__ */ a(Terminal, { lines: lines$1(approval) })] })
		]
	});
}
function lines$1(approval) {
	const id = quoted(approval.id);
	if (!wantsAnswer(approval)) return [`halctl approvals get ${id}`];
	return [
		...approval.kind === "question" ? [`halctl approvals answer ${id} TEXT`] : [`halctl approvals allow ${id}`, `halctl approvals allow ${id} --always`],
		`halctl approvals deny ${id} --message WHY`,
		`halctl approvals snooze ${id} --for 15m`
	];
}
function Standing({ approval }) {
	const until = approval.snoozed_until ? Date.parse(approval.snoozed_until) : 0;
	const isAsleep = until > now.value && wantsAnswer(approval);
	return /* @__PURE__ */ a("p", {
		class: "standing",
		children: [/* @__PURE__ */ a("span", {
			class: `pill ${isAsleep ? "asleep" : approval.state}`,
			children: isAsleep ? "snoozed" : WORDS$1[approval.state]
		}), wantsAnswer(approval) ? /* @__PURE__ */ a($, { children: [
			/* @__PURE__ */ a(Ago, {
				at: approval.asked_at,
				words: ""
			}),
			isAsleep && /* @__PURE__ */ a("span", {
				class: "dim",
				children: ["again in ", span(until - now.value)]
			}),
			approval.deadline && /* @__PURE__ */ a("span", {
				class: "deadline",
				children: ["time limit in ", span(Date.parse(approval.deadline) - now.value)]
			})
		] }) : /* @__PURE__ */ a("span", {
			class: "dim",
			children: ["asked ", /* @__PURE__ */ a(At, { at: approval.asked_at })]
		})]
	});
}
/** What is asked, and the answers that can be given. */
function What({ approval }) {
	const [isWhole, setWhole] = d$2(false);
	const text = approval.what;
	const all = text.split("\n");
	const isLong = all.length > LINES || text.length > LETTERS;
	const isCut = [...text.slice(-1)][0] === "…" && text.length >= MOST_LETTERS;
	const shown = isLong && !isWhole ? all.slice(0, LINES).join("\n").slice(0, LETTERS) : text;
	const isPartial = approval.is_partial === true && approval.kind === "permission";
	const hidden = countHidden(text);
	return /* @__PURE__ */ a($, { children: [
		!(approval.kind === "question" && (approval.questions?.length ?? 0) > 0) && /* @__PURE__ */ a("div", {
			class: "what",
			children: [
				/* @__PURE__ */ a("pre", {
					tabIndex: 0,
					"aria-label": "what is asked",
					children: /* @__PURE__ */ a(Visible, { text: shown })
				}),
				isLong && /* @__PURE__ */ a("button", {
					type: "button",
					class: "quiet",
					onClick: () => setWhole(!isWhole),
					"aria-expanded": isWhole,
					children: isWhole ? "Fold" : `Show all: ${all.length} lines, ${text.length.toLocaleString()} characters`
				}),
				hidden > 0 && /* @__PURE__ */ a("p", {
					class: "warning",
					children: [
						/* @__PURE__ */ a("b", { children: "Careful:" }),
						" ",
						hidden === 1 ? "one hidden character is" : `${hidden} hidden characters are`,
						" marked above."
					]
				}),
				isPartial && wantsAnswer(approval) && /* @__PURE__ */ a("p", {
					class: "warning",
					children: "The event that asked is not stored here any more: this may be the beginning only. Look at the whole at its node before you allow it."
				}),
				isCut && /* @__PURE__ */ a("p", {
					class: "warning",
					children: [
						"This is cut off after ",
						MOST_LETTERS.toLocaleString(),
						" characters. Look at the whole at its node before you allow it."
					]
				})
			]
		}),
		/* @__PURE__ */ a("dl", {
			class: "facts",
			children: [/* @__PURE__ */ a("div", { children: [/* @__PURE__ */ a("dt", { children: "in" }), /* @__PURE__ */ a("dd", { children: /* @__PURE__ */ a("code", { children: /* @__PURE__ */ a(Visible, { text: approval.directory }) }) })] }), /* @__PURE__ */ a("div", { children: [/* @__PURE__ */ a("dt", { children: "session" }), /* @__PURE__ */ a("dd", { children: /* @__PURE__ */ a("a", {
				href: href("sessions", approval.session_id),
				children: /* @__PURE__ */ a("code", { children: /* @__PURE__ */ a(Visible, { text: approval.session_id }) })
			}) })] })]
		}),
		approval.reasoning && /* @__PURE__ */ a("details", {
			class: "reasoning",
			open: approval.reasoning.length < 400,
			children: [/* @__PURE__ */ a("summary", { children: "What it thought" }), /* @__PURE__ */ a("p", { children: /* @__PURE__ */ a(Visible, { text: approval.reasoning }) })]
		}),
		wantsAnswer(approval) && may(me.value?.role, "approver") && /* @__PURE__ */ a(Answers, {
			approval,
			why: isLong && !isWhole ? "show all of it first" : isCut || isPartial ? "not all of it is shown" : ""
		}),
		wantsAnswer(approval) && me.value && !may(me.value.role, "approver") && /* @__PURE__ */ a("p", {
			class: "dim",
			children: [
				"Answering takes the role approver; yours is ",
				me.value.role,
				"."
			]
		})
	] });
}
/** The buttons. `why`: why it cannot be allowed. */
function Answers({ approval, why }) {
	const [form, setForm] = d$2("none");
	const isSending = pending.value[approval.id]?.state === "sending";
	const isAway = connection.value.state !== "live";
	const cannot = isAway ? "not connected: nothing is sent later by itself" : isSending ? "it is being sent" : "";
	const toggle = (wanted) => setForm(form === wanted ? "none" : wanted);
	const button = (word, label, key) => /* @__PURE__ */ a("button", {
		type: "button",
		"data-act": word,
		onClick: () => toggle(word),
		disabled: !!cannot,
		title: cannot || `key ${key}`,
		"aria-expanded": form === word,
		children: label
	});
	const keepFocus = () => document.getElementById(`a-${approval.id}`)?.focus({ preventScroll: true });
	const yes = (always) => () => {
		setForm("none");
		keepFocus();
		allow(approval.id, always);
	};
	return /* @__PURE__ */ a("div", {
		class: "answers",
		children: [
			approval.kind === "question" ? /* @__PURE__ */ a(Questions, {
				approval,
				cannot,
				send: (answers) => void choose(approval.id, answers)
			}) : null,
			/* @__PURE__ */ a("div", {
				class: "buttons",
				children: [
					approval.kind === "permission" && /* @__PURE__ */ a("button", {
						type: "button",
						class: "primary",
						"data-act": "allow",
						onClick: yes(false),
						disabled: !!(cannot || why),
						title: cannot || why || "key a",
						children: "Allow once"
					}),
					button("deny", approval.kind === "question" ? "Decline…" : "Deny…", "d"),
					approval.kind === "permission" && /* @__PURE__ */ a("button", {
						type: "button",
						"data-act": "always",
						onClick: () => toggle("always"),
						disabled: !!(cannot || why),
						title: cannot || why || "key A",
						"aria-expanded": form === "always",
						children: "Always…"
					}),
					button("snooze", "Snooze…", "s")
				]
			}),
			(why || isAway) && /* @__PURE__ */ a("p", {
				class: "dim why",
				children: isAway ? cannot : `Allow: ${why}.`
			}),
			form === "deny" && /* @__PURE__ */ a(Deny, {
				approval,
				cannot,
				close: () => {
					setForm("none");
					keepFocus();
				}
			}),
			form === "always" && /* @__PURE__ */ a("div", {
				class: "form",
				children: [
					/* @__PURE__ */ a("p", { children: "It may do this now, and whatever its coding agent takes for the same later, without anybody being asked." }),
					/* @__PURE__ */ a("button", {
						type: "button",
						class: "primary",
						onClick: yes(true),
						disabled: !!cannot,
						children: "Always allow"
					}),
					/* @__PURE__ */ a("button", {
						type: "button",
						onClick: () => setForm("none"),
						children: "Cancel"
					})
				]
			}),
			form === "snooze" && /* @__PURE__ */ a("div", {
				class: "form",
				role: "group",
				"aria-label": "Snooze for",
				children: SNOOZES.map(([label, seconds]) => /* @__PURE__ */ a("button", {
					type: "button",
					disabled: !!cannot,
					onClick: () => {
						setForm("none");
						keepFocus();
						snooze(approval.id, seconds);
					},
					children: label
				}, label))
			})
		]
	});
}
function Deny({ approval, cannot, close }) {
	const draft = `hal.deny.${approval.id}`;
	const [words, setWords] = d$2(sessionStorage.getItem(draft) ?? "");
	const field = T$1(null);
	F$1(() => field.current?.focus(), []);
	const submit = (event) => {
		event.preventDefault();
		if (cannot) return;
		sessionStorage.removeItem(draft);
		close();
		deny(approval.id, words.trim());
	};
	return /* @__PURE__ */ a("form", {
		class: "form deny",
		onSubmit: submit,
		children: [
			/* @__PURE__ */ a("label", { children: [
				"What it should do instead ",
				/* @__PURE__ */ a("span", {
					class: "dim",
					children: "(may stay empty)"
				}),
				/* @__PURE__ */ a("textarea", {
					ref: field,
					rows: 2,
					value: words,
					enterkeyhint: "send",
					onInput: (event) => {
						setWords(event.currentTarget.value);
						sessionStorage.setItem(draft, event.currentTarget.value);
					},
					onKeyDown: (event) => {
						if (event.key === "Escape") close();
						if (event.key === "Enter" && !event.shiftKey) submit(event);
					}
				})
			] }),
			/* @__PURE__ */ a("button", {
				type: "submit",
				class: "danger",
				disabled: !!cannot,
				children: approval.kind === "question" ? "Decline" : "Deny"
			}),
			/* @__PURE__ */ a("button", {
				type: "button",
				onClick: close,
				children: "Cancel"
			})
		]
	});
}
/** What is known of what was tapped here. */
function Sent({ approval, sent }) {
	if (!sent) return null;
	const dismiss = /* @__PURE__ */ a("button", {
		type: "button",
		class: "quiet",
		onClick: () => settle(approval.id),
		children: "OK"
	});
	if (sent.state === "sending") return /* @__PURE__ */ a("p", {
		class: "sent",
		role: "status",
		children: [
			/* @__PURE__ */ a("span", {
				class: "spinner",
				"aria-hidden": "true"
			}),
			" ",
			sent.word,
			": sent, not yet taken …"
		]
	});
	if (sent.state === "refused") return /* @__PURE__ */ a("p", {
		class: "sent refused",
		role: "alert",
		children: [
			sent.word,
			" does not count: ",
			/* @__PURE__ */ a(Visible, { text: sent.why }),
			" ",
			dismiss
		]
	});
	const isBack = connection.value.state === "live";
	return /* @__PURE__ */ a("p", {
		class: "sent unknown",
		role: "alert",
		children: [isBack && wantsAnswer(approval) ? `${sent.word} did not arrive: it still waits. Answer again. ` : `${sent.word}: whether it arrived is not known yet (${sent.why}). What is true is shown as soon as the supervisor answers. `, isBack && dismiss]
	});
}
// src/nouns/approval.tsx
var byAge = (one, other) => one.asked_at.localeCompare(other.asked_at) || one.id.localeCompare(other.id);
/** Those that are shown keep their places while the screen is open: nothing moves away under a thumb. */
function useHeld$1() {
	const shown = T$1([]);
	const [, again] = d$2(0);
	const all = approvals.value;
	const fresh = [...all.values()].filter(wantsAnswer).sort(byAge).filter((one) => !shown.current.includes(one.id)).map((one) => one.id);
	const held = [...shown.current.filter((id) => all.has(id)), ...fresh];
	A$1(() => {
		if (held.join() !== shown.current.join()) {
			shown.current = held;
			again((count) => count + 1);
		}
	});
	const of = (ids) => ids.map((id) => all.get(id)).filter((one) => one !== void 0);
	const past = [...all.values()].filter((one) => !held.includes(one.id)).sort((a, b) => byAge(b, a));
	return {
		held: of(held),
		past
	};
}
function NeedsYou({ approval }) {
	const { held, past } = useHeld$1();
	useKeys$2();
	if (approval !== void 0) return /* @__PURE__ */ a(One, { id: approval });
	const beyond = (chrome.value?.needs_you ?? 0) - [...approvals.value.values()].filter(wantsAnswer).length;
	return /* @__PURE__ */ a($, { children: [
		/* @__PURE__ */ a("h1", {
			tabIndex: -1,
			children: "Needs you"
		}),
		!haveApprovals.value && /* @__PURE__ */ a("p", {
			class: "dim",
			children: "Asking the supervisor …"
		}),
		haveApprovals.value && held.length === 0 && /* @__PURE__ */ a(Nobody$1, {}),
		held.map((one) => /* @__PURE__ */ a(Card, {
			approval: one,
			level: "h2"
		}, one.id)),
		beyond > 0 && /* @__PURE__ */ a("p", {
			class: "dim",
			children: [beyond, " more wait; they come here as these are answered."]
		}),
		past.length > 0 && /* @__PURE__ */ a("details", {
			class: "past",
			children: [/* @__PURE__ */ a("summary", { children: [
				"Answered lately (",
				past.length,
				")"
			] }), past.map((one) => /* @__PURE__ */ a(Card, {
				approval: one,
				level: "h2"
			}, one.id))]
		})
	] });
}
/** One approval, by its address: from a chat, a mail, or another page. */
function One({ id }) {
	const [fetched, setFetched] = d$2();
	const [why, setWhy] = d$2("");
	const known = approvals.value.get(id);
	A$1(() => {
		setWhy("");
		setFetched(void 0);
		get(`api/v1/approvals/${part(id)}`).then(setFetched, (error) => setWhy(error instanceof Refused && error.status === 404 ? "There is no such approval, or it is long over." : sentence(error)));
	}, [id]);
	const shown = known ?? fetched;
	return /* @__PURE__ */ a($, { children: [/* @__PURE__ */ a("h1", {
		tabIndex: -1,
		children: /* @__PURE__ */ a("a", {
			href: href("needs-you"),
			class: "back",
			children: "Needs you"
		})
	}), shown ? /* @__PURE__ */ a(Card, {
		approval: shown,
		level: "h2"
	}) : /* @__PURE__ */ a("p", {
		class: why ? "warning" : "dim",
		children: why || "Asking the supervisor …"
	})] });
}
function Nobody$1() {
	const { nodes, nodes_online } = chrome.value ?? {
		nodes: 0,
		nodes_online: 0
	};
	const running = chrome.value?.sessions["running"] ?? 0;
	return /* @__PURE__ */ a("section", {
		class: "nobody",
		children: [/* @__PURE__ */ a("p", {
			class: "big",
			children: "Nobody waits for you."
		}), nodes === 0 ? /* @__PURE__ */ a($, { children: [/* @__PURE__ */ a("p", { children: "No node is connected yet. On this machine, or on one that works:" }), /* @__PURE__ */ a(Line, { text: "hal up" })] }) : /* @__PURE__ */ a("p", {
			class: "dim",
			children: [
				running === 1 ? "One session is" : `${running} sessions are`,
				" running; ",
				nodes_online,
				" of ",
				nodes,
				" ",
				nodes === 1 ? "node" : "nodes",
				" connected. When one of them asks something, it stands here, and in the title of this tab."
			]
		})]
	});
}
function step(by, wanting) {
	const all = [...document.querySelectorAll(wanting ? ".card.waiting, .card.undelivered" : ".card")];
	const focused = document.activeElement?.closest(".card");
	const at = focused ? all.indexOf(focused) : -1;
	const next = focused ? all[at + by] : by > 0 ? all[0] : void 0;
	next?.focus({ preventScroll: true });
	next?.scrollIntoView({ block: "start" });
}
/** Keys act on the card that has the focus and on no other: a second press shall not allow what nobody has looked at. */
function press(act) {
	const card = document.activeElement?.closest(".card");
	if (!card) return step(1, true);
	const button = card.querySelector(`[data-act="${act}"]`);
	button?.focus();
	button?.click();
}
function useKeys$2() {
	const role = me.value?.role;
	A$1(() => {
		ofScreen.value = [
			{
				key: "j",
				does: "next card",
				act: () => step(1, false)
			},
			{
				key: "k",
				does: "card before",
				act: () => step(-1, false)
			},
			{
				key: "n",
				does: "next card that waits",
				act: () => step(1, true)
			},
			{
				key: "a",
				does: "allow once",
				act: () => press("allow")
			},
			{
				key: "A",
				does: "always allow (asks once more)",
				act: () => press("always")
			},
			{
				key: "d",
				does: "deny, with words",
				act: () => press("deny")
			},
			{
				key: "s",
				does: "snooze",
				act: () => press("snooze")
			}
		];
		return () => {
			ofScreen.value = [];
		};
	}, [role]);
}
// src/parts/act.tsx
function useAct() {
	const [known, setKnown] = d$2({
		word: "",
		state: "none",
		said: ""
	});
	const act = async (word, ask) => {
		setKnown({
			word,
			state: "sending",
			said: ""
		});
		try {
			setKnown({
				word,
				state: "told",
				said: await ask()
			});
			return true;
		} catch (error) {
			const isUnknown = error instanceof NoAnswer;
			setKnown({
				word,
				state: isUnknown ? "unknown" : "refused",
				said: isUnknown ? "no answer: whether it arrived is not known; look before you ask again" : sentence(error)
			});
			return false;
		}
	};
	return {
		...known,
		act
	};
}
function Outcome$1({ of }) {
	if (of.state === "none") return null;
	return /* @__PURE__ */ a("p", {
		class: `sent ${of.state}`,
		role: "status",
		children: [
			of.state === "sending" && /* @__PURE__ */ a("span", {
				class: "spinner",
				"aria-hidden": "true"
			}),
			" ",
			/* @__PURE__ */ a("b", { children: [of.word, ":"] }),
			" ",
			/* @__PURE__ */ a(Visible, { text: of.state === "sending" ? "sent …" : of.said })
		]
	});
}
/** A button that asks once more before it does something. */
function Sure({ word, asks, isAway, act }) {
	const [isAsking, setAsking] = d$2(false);
	if (!isAsking) return /* @__PURE__ */ a("button", {
		type: "button",
		disabled: isAway,
		onClick: () => setAsking(true),
		children: [word, "…"]
	});
	return /* @__PURE__ */ a("div", {
		class: "form asked",
		role: "group",
		"aria-label": word,
		children: [
			/* @__PURE__ */ a("p", { children: asks }),
			/* @__PURE__ */ a("button", {
				type: "button",
				class: "danger",
				disabled: isAway,
				onClick: () => {
					setAsking(false);
					act();
				},
				children: [word, " now"]
			}),
			/* @__PURE__ */ a("button", {
				type: "button",
				onClick: () => setAsking(false),
				children: "Cancel"
			})
		]
	});
}
// src/parts/polled.ts
/** Asks for a path now, every so many seconds, and when the counts in the head change. */
function usePolled(path, seconds) {
	const [known, setKnown] = d$2({
		path,
		data: void 0,
		meta: void 0,
		why: "",
		at: 0
	});
	const wanted = T$1(path);
	const isBusy = T$1(false);
	wanted.current = path;
	const ask = async () => {
		if (isBusy.current || !path) return;
		isBusy.current = true;
		const asked = wanted.current;
		try {
			const { data, meta } = await list(asked);
			if (asked === wanted.current) setKnown({
				path: asked,
				data,
				meta,
				why: "",
				at: Date.now()
			});
		} catch (error) {
			if (asked === wanted.current) setKnown((before) => ({
				...before,
				why: sentence(error)
			}));
		} finally {
			isBusy.current = false;
			if (asked !== wanted.current) ask();
		}
	};
	const isLive = connection.value.state === "live";
	const { nodes_online: online = 0, alerts = 0 } = chrome.value ?? {};
	A$1(() => {
		if (isLive) ask();
	}, [
		path,
		isLive,
		online,
		alerts
	]);
	A$1(() => {
		const timer = window.setInterval(() => {
			if (!document.hidden && connection.value.state === "live") ask();
		}, seconds * 1e3);
		return () => window.clearInterval(timer);
	}, [seconds]);
	const isOf = known.path.split("?")[0] === path.split("?")[0];
	return {
		...known,
		data: isOf ? known.data : void 0,
		reload: () => void ask()
	};
}
// src/nouns/alert.tsx
var ORDER = {
	firing: 0,
	acknowledged: 1,
	resolved: 2
};
var WEIGHT = {
	critical: 0,
	high: 1,
	medium: 2,
	low: 3
};
var STATES$1 = [
	"open",
	"firing",
	"acknowledged",
	"resolved",
	"all"
];
/** Those of which it is shown at once who was told. */
var OPEN_AT_ONCE = 5;
/** Firing first, and of those the worst. */
var first = (one, other) => ORDER[one.status] - ORDER[other.status] || WEIGHT[one.severity] - WEIGHT[other.severity] || other.id - one.id;
function AlertsScreen({ alert }) {
	const query = new URLSearchParams(search.value);
	const status = STATES$1.includes(query.get("status") ?? "") ? query.get("status") ?? "open" : "open";
	const severity = query.get("severity") ?? "";
	const { data, meta, why, reload } = usePolled(alert ? `api/v1/alerts/${part(alert)}` : `api/v1/alerts?status=${status}&severity=${part(severity)}&limit=200`, 4);
	const acting = useAct();
	const [matches, setMatches] = d$2("");
	const alerts = data === void 0 ? void 0 : (Array.isArray(data) ? data : [data]).toSorted(first);
	const refined = (name, value) => {
		const next = new URLSearchParams(search.value);
		if (value) next.set(name, value);
		else next.delete(name);
		refine(next);
	};
	const acknowledge = (one) => void acting.act(`Alert ${one.id}`, async () => {
		const after = await post(`api/v1/alerts/${one.id}/ack`);
		return `${after.status === "resolved" ? "acknowledged and with that resolved" : "acknowledged; it stays open while it holds"}, by ${after.acknowledged_by || (me.value?.name ?? "")}`;
	}).then(reload);
	return /* @__PURE__ */ a($, { children: [
		/* @__PURE__ */ a("h1", {
			tabIndex: -1,
			children: alert ? /* @__PURE__ */ a("a", {
				href: href("alerts"),
				class: "back",
				children: "Alerts"
			}) : "Alerts"
		}),
		!alert && /* @__PURE__ */ a("div", {
			class: "filters two",
			children: [/* @__PURE__ */ a("label", { children: [/* @__PURE__ */ a("span", {
				class: "unseen",
				children: "Which alerts"
			}), /* @__PURE__ */ a("select", {
				value: status,
				onChange: (event) => refined("status", event.currentTarget.value === "open" ? "" : event.currentTarget.value),
				children: [
					/* @__PURE__ */ a("option", {
						value: "open",
						children: "open"
					}),
					/* @__PURE__ */ a("option", {
						value: "firing",
						children: "firing"
					}),
					/* @__PURE__ */ a("option", {
						value: "acknowledged",
						children: "acknowledged"
					}),
					/* @__PURE__ */ a("option", {
						value: "resolved",
						children: "resolved"
					}),
					/* @__PURE__ */ a("option", {
						value: "all",
						children: "all"
					})
				]
			})] }), /* @__PURE__ */ a("label", { children: [/* @__PURE__ */ a("span", {
				class: "unseen",
				children: "Severity"
			}), /* @__PURE__ */ a("select", {
				value: severity,
				onChange: (event) => refined("severity", event.currentTarget.value),
				children: [
					/* @__PURE__ */ a("option", {
						value: "",
						children: "any severity"
					}),
					/* @__PURE__ */ a("option", {
						value: "medium",
						children: "medium and above"
					}),
					/* @__PURE__ */ a("option", {
						value: "high",
						children: "high and above"
					}),
					/* @__PURE__ */ a("option", {
						value: "critical",
						children: "critical"
					})
				]
			})] })]
		}),
		why && /* @__PURE__ */ a("p", {
			class: "warning",
			role: "alert",
			children: /* @__PURE__ */ a(Visible, { text: why })
		}),
		/* @__PURE__ */ a(Outcome$1, { of: acting }),
		!alerts && !why && /* @__PURE__ */ a("p", {
			class: "dim",
			children: "Asking the supervisor …"
		}),
		alerts?.length === 0 && /* @__PURE__ */ a("section", {
			class: "nobody",
			children: /* @__PURE__ */ a("p", {
				class: "big",
				children: status === "open" || status === "firing" ? "No alert is open." : "No alert matches."
			})
		}),
		alerts?.map((one, index) => /* @__PURE__ */ a(AlertCard, {
			alert: one,
			isOpen: !!alert || one.status === "firing" && index < OPEN_AT_ONCE,
			acknowledge: () => acknowledge(one),
			silence: () => setMatches(one.name),
			acting
		}, one.id)),
		meta && alerts && meta.total > alerts.length && /* @__PURE__ */ a("p", {
			class: "dim",
			children: [meta.total - alerts.length, " more: halctl alerts list --limit 0"]
		}),
		!alert && /* @__PURE__ */ a(Silences, { matches }),
		/* @__PURE__ */ a(Terminal, { lines: alert ? [`halctl alerts get ${quoted(alert)}`, `halctl alerts ack ${quoted(alert)}`] : [
			`halctl alerts list --status ${status}`,
			"halctl alerts ack ID",
			"halctl alerts silence add 'NAME' --for 1h --reason WHY",
			"halctl alerts silence list"
		] })
	] });
}
function AlertCard({ alert, isOpen, acting, acknowledge, silence }) {
	const isAway = connection.value.state !== "live";
	const isFiring = alert.status === "firing";
	return /* @__PURE__ */ a("article", {
		class: `card alert ${alert.status} ${alert.severity}`,
		"data-alert": alert.id,
		"aria-labelledby": `l-${alert.id}`,
		children: [
			/* @__PURE__ */ a("header", { children: [/* @__PURE__ */ a("h2", {
				id: `l-${alert.id}`,
				children: [
					/* @__PURE__ */ a("a", {
						href: href("alerts", String(alert.id)),
						children: /* @__PURE__ */ a(Visible, { text: alert.name })
					}),
					" ",
					/* @__PURE__ */ a("span", {
						class: "place",
						children: /* @__PURE__ */ a(Name, { text: alert.about })
					})
				]
			}), /* @__PURE__ */ a("p", {
				class: "standing",
				children: [
					/* @__PURE__ */ a("span", {
						class: `pill severity ${alert.severity}`,
						children: alert.severity
					}),
					/* @__PURE__ */ a("span", {
						class: `pill ${isFiring ? "bad" : alert.status === "resolved" ? "good" : ""}`,
						children: alert.status
					}),
					/* @__PURE__ */ a("span", {
						class: "dim",
						children: /* @__PURE__ */ a(Ago, { at: alert.started_at })
					})
				]
			})] }),
			/* @__PURE__ */ a("p", {
				class: "alert-text",
				children: /* @__PURE__ */ a(Visible, { text: alert.text })
			}),
			/* @__PURE__ */ a("p", {
				class: "dim",
				children: [
					alert.lasting ? "lasts until it no longer holds" : "happened once: acknowledging resolves it",
					alert.count > 1 && `, raised ${alert.count.toLocaleString()} times`,
					alert.acknowledged_by && /* @__PURE__ */ a($, { children: [", acknowledged by ", /* @__PURE__ */ a(Visible, { text: alert.acknowledged_by })] })
				]
			}),
			isFiring && (may(me.value?.role, "approver") ? /* @__PURE__ */ a("div", {
				class: "buttons",
				children: [/* @__PURE__ */ a("button", {
					type: "button",
					class: "primary",
					disabled: isAway || acting.state === "sending",
					onClick: acknowledge,
					"aria-label": `Acknowledge ${alert.name} ${alert.about}`,
					children: "Acknowledge"
				}), may(me.value?.role, "operator") && /* @__PURE__ */ a("button", {
					type: "button",
					onClick: silence,
					"aria-label": `Silence ${alert.name}…`,
					children: "Silence…"
				})]
			}) : /* @__PURE__ */ a("p", {
				class: "dim",
				children: [
					"Acknowledging takes the role approver; yours is ",
					me.value?.role,
					"."
				]
			})),
			/* @__PURE__ */ a(Told, {
				id: alert.id,
				isOpen,
				changed: alert.changed_at
			})
		]
	});
}
/** Who was told, and who is next unless somebody acknowledges it. */
function Told({ id, isOpen, changed }) {
	const [open, setOpen] = d$2(isOpen);
	const [view, setView] = d$2();
	A$1(() => {
		if (!open || connection.value.state !== "live") return;
		get(`api/v1/alerts/${id}`).then(setView, () => void 0);
	}, [
		open,
		changed,
		Math.floor(now.value / 1e4)
	]);
	const told = view?.told ?? [];
	return /* @__PURE__ */ a("details", {
		open: isOpen,
		onToggle: (event) => setOpen(event.currentTarget.open),
		children: [/* @__PURE__ */ a("summary", { children: "Who was told" }), view && /* @__PURE__ */ a("ul", {
			class: "told",
			children: [
				told.map((one, index) => /* @__PURE__ */ a("li", { children: [
					/* @__PURE__ */ a(Visible, { text: one.channel }),
					" ",
					one.at !== "0001-01-01T00:00:00Z" && /* @__PURE__ */ a(At, { at: one.at }),
					one.step !== void 0 && one.step !== null && /* @__PURE__ */ a("span", {
						class: "dim",
						children: [
							" step ",
							one.step,
							" of the escalation"
						]
					}),
					one.why && /* @__PURE__ */ a("span", {
						class: "dim",
						children: [" ", /* @__PURE__ */ a(Visible, { text: one.why })]
					})
				] }, index)),
				told.length === 0 && /* @__PURE__ */ a("li", {
					class: "dim",
					children: "Nobody: no route leads it to a channel, or it is silenced."
				}),
				view.next && /* @__PURE__ */ a("li", { children: [
					/* @__PURE__ */ a("b", { children: "next:" }),
					" ",
					/* @__PURE__ */ a(Visible, { text: view.next.channels.join(", ") }),
					" in ",
					span(Date.parse(view.next.at) - now.value),
					", unless somebody acknowledges it"
				] })
			]
		})]
	});
}
var LENGTHS = [
	["1 hour", 3600],
	["4 hours", 14400],
	["1 day", 86400],
	["1 week", 604800]
];
function Silences({ matches }) {
	const { data, reload } = usePolled("api/v1/silences", 10);
	const acting = useAct();
	const [text, setText] = d$2("");
	const [reason, setReason] = d$2("");
	const [seconds, setSeconds] = d$2(3600);
	A$1(() => {
		if (!matches) return;
		setText(matches);
		document.querySelector(".silences input[name=matches]")?.focus();
	}, [matches]);
	const isAway = connection.value.state !== "live";
	const mayIt = may(me.value?.role, "operator");
	const add = (event) => {
		event.preventDefault();
		if (!text.trim() || isAway) return;
		acting.act("Silence", async () => {
			const made = await post("api/v1/silences", {
				matches: text.trim(),
				seconds,
				reason
			});
			setText("");
			setReason("");
			return `${made.matches} is silenced for ${span(Date.parse(made.until) - now.value)}`;
		}).then(reload);
	};
	const expire = (one) => void acting.act("Silence", async () => {
		await post(`api/v1/silences/${part(one.id)}/expire`);
		return `${one.matches} is silenced no more`;
	}).then(reload);
	return /* @__PURE__ */ a("section", {
		class: "panel silences",
		children: [
			/* @__PURE__ */ a("h2", { children: "Silences" }),
			data?.length === 0 && /* @__PURE__ */ a("p", {
				class: "dim",
				children: "None: every alert that fires is told."
			}),
			/* @__PURE__ */ a("ul", {
				class: "devices",
				children: data?.map((one) => /* @__PURE__ */ a("li", { children: [/* @__PURE__ */ a("div", { children: [/* @__PURE__ */ a("code", { children: /* @__PURE__ */ a(Visible, { text: one.matches }) }), /* @__PURE__ */ a("p", {
					class: "dim",
					children: [
						"by ",
						/* @__PURE__ */ a(Visible, { text: one.by }),
						", ends in ",
						span(Date.parse(one.until) - now.value),
						" (",
						/* @__PURE__ */ a(At, { at: one.until }),
						")",
						one.reason && ": ",
						/* @__PURE__ */ a(Visible, { text: one.reason })
					]
				})] }), mayIt && /* @__PURE__ */ a("button", {
					type: "button",
					disabled: isAway,
					onClick: () => expire(one),
					"aria-label": `End the silence ${one.matches}`,
					children: "End"
				})] }, one.id))
			}),
			mayIt ? /* @__PURE__ */ a("form", {
				class: "filters silence",
				onSubmit: add,
				children: [
					/* @__PURE__ */ a("label", { children: ["Which alerts", /* @__PURE__ */ a("input", {
						type: "text",
						name: "matches",
						placeholder: "node.offline, disk.*, alert.severity < high",
						value: text,
						autocomplete: "off",
						spellcheck: false,
						onInput: (event) => setText(event.currentTarget.value)
					})] }),
					/* @__PURE__ */ a("label", { children: ["For", /* @__PURE__ */ a("select", {
						value: String(seconds),
						onChange: (event) => setSeconds(Number(event.currentTarget.value)),
						children: LENGTHS.map(([word, value]) => /* @__PURE__ */ a("option", {
							value: String(value),
							children: word
						}, value))
					})] }),
					/* @__PURE__ */ a("label", { children: ["Why", /* @__PURE__ */ a("input", {
						type: "text",
						name: "reason",
						value: reason,
						onInput: (event) => setReason(event.currentTarget.value)
					})] }),
					/* @__PURE__ */ a("button", {
						type: "submit",
						disabled: !text.trim() || isAway,
						children: "Silence"
					})
				]
			}) : /* @__PURE__ */ a("p", {
				class: "dim",
				children: [
					"Silencing takes the role operator; yours is ",
					me.value?.role,
					"."
				]
			}),
			/* @__PURE__ */ a(Outcome$1, { of: acting })
		]
	});
}
// src/parts/save.ts
/** A cell of a CSV: a spreadsheet takes what begins with these for a formula, so a mark is put before it. */
function cell(value) {
	const text = value === null || value === void 0 ? "" : typeof value === "object" ? JSON.stringify(value) : String(value);
	const harmless = typeof value === "string" && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
	return /[",\n\r]/.test(harmless) ? `"${harmless.replaceAll("\"", "\"\"")}"` : harmless;
}
function csv(rows) {
	const names = [...new Set(rows.flatMap((row) => Object.keys(row)))];
	return [names, ...rows.map((row) => names.map((name) => row[name]))].map((row) => row.map(cell).join(",")).join("\r\n") + "\r\n";
}
function save(name, type, text) {
	const url = URL.createObjectURL(new Blob([text], { type }));
	const link = document.createElement("a");
	link.href = url;
	link.download = name;
	link.click();
	window.setTimeout(() => URL.revokeObjectURL(url), 1e4);
}
// src/nouns/audit.tsx
var PAGE = 100;
/** Records that one file holds at most. */
var MOST_SAVED = 1e4;
var SPANS = [
	[
		"",
		"ever",
		0
	],
	[
		"1h",
		"the last hour",
		3600
	],
	[
		"24h",
		"the last day",
		86400
	],
	[
		"7d",
		"the last 7 days",
		604800
	],
	[
		"30d",
		"the last 30 days",
		2592e3
	]
];
var FIELDS$1 = [
	[
		"actor",
		"Who",
		"ada, or a policy"
	],
	[
		"action",
		"Action",
		"kill_session, budget"
	],
	[
		"target",
		"On what",
		"a session, node, budget"
	]
];
function pathOf(query, limit, cursor) {
	const parts = FIELDS$1.filter(([name]) => query.get(name)).map(([name]) => `${name}=${part(query.get(name) ?? "")}`);
	const [, , seconds] = SPANS.find(([word]) => word === query.get("since")) ?? [
		"",
		"",
		0
	];
	if (seconds) parts.push(`since=${part((/* @__PURE__ */ new Date(Date.now() - seconds * 1e3)).toISOString())}`);
	if (cursor) parts.push(`cursor=${part(cursor)}`);
	return `api/v1/audit?${[`limit=${limit}`, ...parts].join("&")}`;
}
function AuditScreen() {
	if (me.value && !may(me.value.role, "admin")) return /* @__PURE__ */ a($, { children: [/* @__PURE__ */ a("h1", {
		tabIndex: -1,
		children: "Audit"
	}), /* @__PURE__ */ a("p", {
		class: "dim",
		children: [
			"The audit takes the role admin; yours is ",
			me.value.role,
			"."
		]
	})] });
	return /* @__PURE__ */ a(Records, {});
}
function Records() {
	const query = new URLSearchParams(search.value);
	const filter = query.toString();
	const [records, setRecords] = d$2();
	const [cursor, setCursor] = d$2("");
	const [why, setWhy] = d$2("");
	const asked = T$1(0);
	const load = async (from) => {
		asked.current += 1;
		const own = asked.current;
		try {
			const { data, meta } = await list(pathOf(query, PAGE, from));
			if (own !== asked.current) return;
			setRecords((before) => [...from ? before ?? [] : [], ...data]);
			setCursor(meta?.next_cursor ?? "");
			setWhy("");
		} catch (error) {
			if (own === asked.current) setWhy(sentence(error));
		}
	};
	A$1(() => void load(""), [filter]);
	return /* @__PURE__ */ a($, { children: [
		/* @__PURE__ */ a("h1", {
			tabIndex: -1,
			children: "Audit"
		}),
		/* @__PURE__ */ a(Filters$1, { query }),
		/* @__PURE__ */ a("div", {
			class: "chips",
			children: [
				/* @__PURE__ */ a("button", {
					type: "button",
					class: "quiet",
					onClick: () => void load(""),
					children: "Look again"
				}),
				/* @__PURE__ */ a(Export, { query }),
				/* @__PURE__ */ a(Verify, {})
			]
		}),
		why && /* @__PURE__ */ a("p", {
			class: "warning",
			role: "alert",
			children: /* @__PURE__ */ a(Visible, { text: why })
		}),
		!records && !why && /* @__PURE__ */ a("p", {
			class: "dim",
			children: "Asking the supervisor …"
		}),
		records?.length === 0 && !cursor && /* @__PURE__ */ a("p", {
			class: "dim",
			children: "No record matches."
		}),
		records && records.length > 0 && /* @__PURE__ */ a("ol", {
			class: "records",
			"aria-label": "Records, newest first",
			children: records.map((record) => /* @__PURE__ */ a(Item, { record }, record.seq))
		}),
		cursor && /* @__PURE__ */ a("button", {
			type: "button",
			onClick: () => void load(cursor),
			children: "Show older ones"
		}),
		/* @__PURE__ */ a(Terminal, { lines: [
			line$1(query),
			"halctl audit verify",
			"halctl audit export"
		] })
	] });
}
function line$1(query) {
	const flag = (name, field) => query.get(field) ? ` --${name} ${quoted(query.get(field) ?? "")}` : "";
	return `halctl audit list${flag("user", "actor")}${flag("action", "action")}${flag("target", "target")}${flag("since", "since")}`;
}
function Filters$1({ query }) {
	const set = (name, value) => {
		const next = new URLSearchParams(search.value);
		if (value) next.set(name, value);
		else next.delete(name);
		refine(next);
	};
	return /* @__PURE__ */ a("form", {
		class: "filters audit-filters",
		role: "search",
		onSubmit: (event) => event.preventDefault(),
		children: [FIELDS$1.map(([name, label, hint]) => /* @__PURE__ */ a("label", { children: [label, /* @__PURE__ */ a("input", {
			type: "search",
			name,
			placeholder: hint,
			value: query.get(name) ?? "",
			autocomplete: "off",
			spellcheck: false,
			onChange: (event) => set(name, event.currentTarget.value.trim())
		})] }, name)), /* @__PURE__ */ a("label", { children: ["Since", /* @__PURE__ */ a("select", {
			value: query.get("since") ?? "",
			onChange: (event) => set("since", event.currentTarget.value),
			children: SPANS.map(([value, word]) => /* @__PURE__ */ a("option", {
				value,
				children: word
			}, value))
		})] })]
	});
}
function Item({ record }) {
	const [isOpen, setOpen] = d$2(false);
	const isBad = !!record.error || record.result === "denied" || record.result === "failed";
	return /* @__PURE__ */ a("li", {
		"data-seq": record.seq,
		children: /* @__PURE__ */ a("details", {
			onToggle: (event) => setOpen(event.currentTarget.open),
			children: [/* @__PURE__ */ a("summary", { children: /* @__PURE__ */ a("span", {
				class: "one",
				children: [
					/* @__PURE__ */ a(At, { at: record.at }),
					" ",
					/* @__PURE__ */ a(Name, { text: record.actor }),
					" ",
					/* @__PURE__ */ a("b", { children: /* @__PURE__ */ a(Visible, { text: record.action }) }),
					" ",
					/* @__PURE__ */ a(Name, { text: record.target }),
					" ",
					/* @__PURE__ */ a("span", {
						class: isBad ? "bad-word" : "dim",
						children: /* @__PURE__ */ a(Visible, { text: record.result })
					})
				]
			}) }), isOpen && /* @__PURE__ */ a($, { children: [
				/* @__PURE__ */ a("dl", {
					class: "facts",
					children: [
						["number", String(record.seq)],
						["kind", record.kind],
						["over", record.through],
						["from", record.from],
						["target", record.target]
					].map(([name, value]) => /* @__PURE__ */ a("div", { children: [/* @__PURE__ */ a("dt", { children: name }), /* @__PURE__ */ a("dd", { children: /* @__PURE__ */ a(Visible, { text: value ?? "" }) })] }, name))
				}),
				record.error && /* @__PURE__ */ a("p", {
					class: "warning",
					children: /* @__PURE__ */ a(Visible, { text: record.error })
				}),
				/* @__PURE__ */ a("pre", {
					class: "args",
					tabIndex: 0,
					"aria-label": "particulars",
					children: /* @__PURE__ */ a(Visible, { text: JSON.stringify(record.args, null, 2).slice(0, 32768) })
				})
			] })]
		})
	});
}
/** All that match, as one file; it says when that is not all of it. */
function Export({ query }) {
	const acting = useAct();
	const all = async () => {
		const rows = [];
		let cursor = "";
		do {
			const { data, meta } = await list(pathOf(query, 1e3, cursor));
			rows.push(...data);
			cursor = meta?.next_cursor ?? "";
		} while (cursor && rows.length < MOST_SAVED);
		return {
			rows,
			isWhole: !cursor
		};
	};
	const go = (kind) => void acting.act(kind, async () => {
		const { rows, isWhole } = await all();
		const name = `hal-audit-${(/* @__PURE__ */ new Date()).toISOString().slice(0, 10)}`;
		if (kind === "CSV") save(`${name}.csv`, "text/csv", csv(rows));
		else save(`${name}.json`, "application/json", JSON.stringify(rows, null, 2));
		return `${rows.length.toLocaleString()} records saved${isWhole ? "" : "; there are more: narrow it down, or halctl audit export"}`;
	});
	return /* @__PURE__ */ a($, { children: [
		/* @__PURE__ */ a("button", {
			type: "button",
			class: "quiet",
			onClick: () => go("CSV"),
			children: "Save as CSV"
		}),
		/* @__PURE__ */ a("button", {
			type: "button",
			class: "quiet",
			onClick: () => go("JSON"),
			children: "Save as JSON"
		}),
		/* @__PURE__ */ a(Outcome$1, { of: acting })
	] });
}
/** Whether the chain is as it was written. */
function Verify() {
	const acting = useAct();
	const go = () => void acting.act("Verify", async () => {
		const verdict = await post("api/v1/audit/verify", {});
		const records = `${verdict.records.toLocaleString()} records`;
		return verdict.is_whole ? `${records}, each as it was written` : `${records}; ${verdict.found} are not as they were written: halctl audit verify names them`;
	});
	return /* @__PURE__ */ a($, { children: [/* @__PURE__ */ a("button", {
		type: "button",
		class: "quiet",
		disabled: connection.value.state !== "live",
		onClick: go,
		children: "Verify the chain"
	}), /* @__PURE__ */ a(Outcome$1, { of: acting })] });
}
// src/parts/amount.tsx
/** Dollars of millionths, exactly where they are small. */
function dollars(micros) {
	const value = micros / 1e6;
	const digits = value !== 0 && Math.abs(value) < .1 ? 4 : 2;
	return new Intl.NumberFormat(void 0, {
		style: "currency",
		currency: "USD",
		currencyDisplay: "narrowSymbol",
		minimumFractionDigits: 2,
		maximumFractionDigits: digits
	}).format(value);
}
function Money({ micros }) {
	return micros === null || micros === void 0 ? /* @__PURE__ */ a("span", {
		class: "dim",
		children: "unknown"
	}) : /* @__PURE__ */ a($, { children: dollars(micros) });
}
/** A number in at most four digits: 12.3k. */
function short(count) {
	return new Intl.NumberFormat(void 0, {
		notation: "compact",
		maximumFractionDigits: 1
	}).format(count);
}
function bytes(count) {
	const units = [
		"B",
		"KiB",
		"MiB",
		"GiB",
		"TiB"
	];
	let [value, unit] = [count, 0];
	while (value >= 1024 && unit < units.length - 1) [value, unit] = [value / 1024, unit + 1];
	return `${value.toLocaleString(void 0, { maximumFractionDigits: value < 10 && unit > 0 ? 1 : 0 })} ${units[unit]}`;
}
/** How much of something is used. */
function Bar({ used, limit, of }) {
	if (!limit) return /* @__PURE__ */ a("span", {
		class: "dim",
		title: `${of}: the limit is not known`,
		children: short(used)
	});
	const part = Math.min(1, used / limit);
	const percent = `${Math.round(part * 100)} %`;
	return /* @__PURE__ */ a("span", {
		class: `bar${part >= .85 ? " full" : ""}`,
		title: `${of}: ${used.toLocaleString()} of ${limit.toLocaleString()}`,
		children: [/* @__PURE__ */ a("meter", {
			min: 0,
			max: 1,
			value: part,
			"aria-label": `${of}: ${percent}`
		}), /* @__PURE__ */ a("span", {
			"aria-hidden": "true",
			children: percent
		})]
	});
}
// src/nouns/cost.tsx
var PERIODS = [
	["today", "today (UTC)"],
	["week", "7 days"],
	["month", "30 days"]
];
var BYS = [
	"model",
	"project",
	"node",
	"session",
	"provider"
];
/** Rows of a table before somebody asks for more. */
var FEW$1 = 20;
var usd = (dollar) => dollars(Math.round(dollar * 1e6));
function refined(name, value) {
	const next = new URLSearchParams(search.value);
	if (value) next.set(name, value);
	else next.delete(name);
	refine(next);
}
function MoneyScreen() {
	const query = new URLSearchParams(search.value);
	const period = PERIODS.some(([word]) => word === query.get("period")) ? query.get("period") ?? "today" : "today";
	const by = BYS.includes(query.get("by")) ? query.get("by") : "model";
	const { data: report, why } = usePolled(`api/v1/cost?period=${period}`, 10);
	return /* @__PURE__ */ a($, { children: [
		/* @__PURE__ */ a("h1", {
			tabIndex: -1,
			children: "Money"
		}),
		/* @__PURE__ */ a("div", {
			class: "chips",
			role: "group",
			"aria-label": "Period",
			children: PERIODS.map(([word, label]) => /* @__PURE__ */ a("button", {
				type: "button",
				class: "chip",
				"aria-pressed": period === word,
				onClick: () => refined("period", word === "today" ? "" : word),
				children: label
			}, word))
		}),
		why && /* @__PURE__ */ a("p", {
			class: "warning",
			role: "alert",
			children: /* @__PURE__ */ a(Visible, { text: why })
		}),
		!report && !why && /* @__PURE__ */ a("p", {
			class: "dim",
			children: "Asking the supervisor …"
		}),
		report && /* @__PURE__ */ a(Total, { report }),
		report && /* @__PURE__ */ a(Parts, {
			report,
			by
		}),
		report && report.days.length > 1 && /* @__PURE__ */ a(Days, { report }),
		/* @__PURE__ */ a(Budgets, {}),
		report && /* @__PURE__ */ a(Fresh, { report }),
		/* @__PURE__ */ a(Terminal, { lines: [
			`halctl cost ${period} --by ${by}`,
			"halctl cost exposure",
			"halctl budgets list",
			"halctl budgets raise NAME --by USD"
		] })
	] });
}
/** Where nothing was used, nothing is unknown. */
function Used({ amount }) {
	return amount.cost_micros === null && amount.tokens === 0 && amount.unreported_calls === 0 ? /* @__PURE__ */ a($, { children: "nothing used" }) : /* @__PURE__ */ a(Money, { micros: amount.cost_micros });
}
/** What is in no sum, because nobody knows it. */
function Unknown({ amount }) {
	const { unreported_calls: calls, unpriced_tokens: tokens } = amount;
	if (calls === 0 && tokens === 0) return null;
	return /* @__PURE__ */ a("p", {
		class: "warning",
		children: [
			"Not in this sum, as nobody knows it:",
			calls > 0 && ` ${calls.toLocaleString()} ${calls === 1 ? "call" : "calls"} of a model of which nothing was reported`,
			calls > 0 && tokens > 0 && ",",
			tokens > 0 && ` ${short(tokens)} tokens without a known price`,
			"."
		]
	});
}
function Total({ report }) {
	const { total, before, end_of_day: day, end_of_month: month } = report;
	return /* @__PURE__ */ a("section", {
		class: "panel total",
		"aria-label": "Total",
		children: [
			/* @__PURE__ */ a("p", {
				class: "sum-of-money",
				children: [
					/* @__PURE__ */ a("b", { children: /* @__PURE__ */ a(Used, { amount: total }) }),
					" ",
					/* @__PURE__ */ a("span", {
						class: "dim",
						children: [
							report.from === report.to ? `${report.from} UTC` : `${report.from} to ${report.to} UTC`,
							", ",
							short(total.tokens),
							" tokens, ",
							report.session_count.toLocaleString(),
							" ",
							report.session_count === 1 ? "session" : "sessions"
						]
					})
				]
			}),
			/* @__PURE__ */ a(Unknown, { amount: total }),
			/* @__PURE__ */ a("dl", {
				class: "facts",
				children: [
					total.estimated_usd > 0 && /* @__PURE__ */ a("div", { children: [/* @__PURE__ */ a("dt", { children: "of it from a price table" }), /* @__PURE__ */ a("dd", { children: usd(total.estimated_usd) })] }),
					total.api_equivalent_usd > 0 && /* @__PURE__ */ a("div", { children: [/* @__PURE__ */ a("dt", { children: "covered by a subscription, at the API's prices" }), /* @__PURE__ */ a("dd", { children: usd(total.api_equivalent_usd) })] }),
					/* @__PURE__ */ a("div", { children: [/* @__PURE__ */ a("dt", { children: [
						"before (",
						before.from === before.to ? before.from : `${before.from} to ${before.to}`,
						")"
					] }), /* @__PURE__ */ a("dd", { children: [/* @__PURE__ */ a(Used, { amount: before }), before.cost_micros !== null && total.cost_micros !== null && ` (${before.change_usd >= 0 ? "+" : "−"}${usd(Math.abs(before.change_usd))})`] })] }),
					day && /* @__PURE__ */ a("div", { children: [/* @__PURE__ */ a("dt", { children: "by the end of the day" }), /* @__PURE__ */ a("dd", { children: [
						usd(day.expected_usd),
						" (",
						usd(day.low_usd),
						" to ",
						usd(day.high_usd),
						")"
					] })] }),
					month && /* @__PURE__ */ a("div", { children: [/* @__PURE__ */ a("dt", { children: "by the end of the month" }), /* @__PURE__ */ a("dd", { children: [
						usd(month.expected_usd),
						" (",
						usd(month.low_usd),
						" to ",
						usd(month.high_usd),
						")"
					] })] })
				]
			})
		]
	});
}
var nameOf = (part) => part.session_id ?? part.node_id ?? part.project ?? (part.model !== void 0 ? `${part.provider ?? ""}/${part.model}` : part.provider ?? "");
function Parts({ report, by }) {
	const [most, setMost] = d$2(FEW$1);
	const parts = {
		model: report.by_model,
		project: report.by_project,
		node: report.by_node,
		session: report.by_session,
		provider: report.by_provider
	}[by];
	const name = (one) => /* @__PURE__ */ a(Name, { text: nameOf(one) || "(none)" });
	const download = () => save(`hal-cost-${report.from}-${report.to}-by-${by}.csv`, "text/csv", csv(parts.map((one) => ({
		[by]: nameOf(one),
		cost_usd: one.cost_usd,
		tokens: one.tokens,
		unpriced_tokens: one.unpriced_tokens,
		unreported_calls: one.unreported_calls
	}))));
	return /* @__PURE__ */ a("section", {
		class: "panel",
		children: [
			/* @__PURE__ */ a("div", {
				class: "chips",
				role: "group",
				"aria-label": "Grouped by",
				children: [BYS.map((word) => /* @__PURE__ */ a("button", {
					type: "button",
					class: "chip",
					"aria-pressed": by === word,
					onClick: () => refined("by", word === "model" ? "" : word),
					children: ["by ", word]
				}, word)), /* @__PURE__ */ a("button", {
					type: "button",
					class: "quiet",
					onClick: download,
					children: "CSV"
				})]
			}),
			/* @__PURE__ */ a("div", {
				class: "scroll",
				children: /* @__PURE__ */ a("table", { children: [/* @__PURE__ */ a("thead", { children: /* @__PURE__ */ a("tr", { children: [
					/* @__PURE__ */ a("th", {
						scope: "col",
						children: by
					}),
					/* @__PURE__ */ a("th", {
						scope: "col",
						class: "number",
						children: "Tokens"
					}),
					/* @__PURE__ */ a("th", {
						scope: "col",
						class: "number",
						children: "Cost"
					})
				] }) }), /* @__PURE__ */ a("tbody", { children: parts.slice(0, most).map((one) => /* @__PURE__ */ a("tr", { children: [
					/* @__PURE__ */ a("th", {
						scope: "row",
						children: one.session_id ? /* @__PURE__ */ a("a", {
							href: href("sessions", one.session_id),
							children: name(one)
						}) : one.node_id ? /* @__PURE__ */ a("a", {
							href: href("nodes", one.node_id),
							children: name(one)
						}) : name(one)
					}),
					/* @__PURE__ */ a("td", {
						class: "number",
						children: short(one.tokens)
					}),
					/* @__PURE__ */ a("td", {
						class: "number",
						children: [/* @__PURE__ */ a(Money, { micros: one.cost_micros }), (one.unreported_calls > 0 || one.unpriced_tokens > 0) && one.cost_micros !== null && /* @__PURE__ */ a("span", {
							title: "some of it is unknown",
							children: " + unknown"
						})]
					})
				] }, nameOf(one))) })] })
			}),
			parts.length === 0 && /* @__PURE__ */ a("p", {
				class: "dim",
				children: "Nothing was used."
			}),
			parts.length > most && /* @__PURE__ */ a("button", {
				type: "button",
				onClick: () => setMost(1e3),
				children: ["Show all ", parts.length]
			})
		]
	});
}
function Days({ report }) {
	const most = Math.max(1, ...report.days.map((day) => day.cost_micros ?? 0));
	return /* @__PURE__ */ a("details", {
		class: "panel",
		children: [/* @__PURE__ */ a("summary", { children: "Day by day (UTC)" }), /* @__PURE__ */ a("table", { children: [/* @__PURE__ */ a("thead", { children: /* @__PURE__ */ a("tr", { children: [
			/* @__PURE__ */ a("th", {
				scope: "col",
				children: "Day"
			}),
			/* @__PURE__ */ a("th", {
				scope: "col",
				children: "Share"
			}),
			/* @__PURE__ */ a("th", {
				scope: "col",
				class: "number",
				children: "Cost"
			})
		] }) }), /* @__PURE__ */ a("tbody", { children: report.days.map((day) => /* @__PURE__ */ a("tr", { children: [
			/* @__PURE__ */ a("th", {
				scope: "row",
				children: day.date
			}),
			/* @__PURE__ */ a("td", { children: /* @__PURE__ */ a("meter", {
				class: "wide",
				min: 0,
				max: most,
				value: day.cost_micros ?? 0,
				"aria-label": `${day.date}: ${day.cost_micros === null ? "unknown" : dollars(day.cost_micros)}`
			}) }),
			/* @__PURE__ */ a("td", {
				class: "number",
				children: /* @__PURE__ */ a(Money, { micros: day.cost_micros })
			})
		] }, day.date)) })] })]
	});
}
function Budgets() {
	const { data: budgets, reload } = usePolled("api/v1/budgets", 10);
	const { data: exposure } = usePolled("api/v1/cost/exposure", 10);
	return /* @__PURE__ */ a("section", {
		class: "panel",
		children: [
			/* @__PURE__ */ a("h2", { children: "Budgets, and what can still be spent" }),
			exposure && /* @__PURE__ */ a("p", { children: [
				exposure.most_micros === null ? /* @__PURE__ */ a($, { children: [
					/* @__PURE__ */ a("b", { children: "No limit:" }),
					" ",
					exposure.unlimited_sessions.toLocaleString(),
					" ",
					exposure.unlimited_sessions === 1 ? "session runs" : "sessions run",
					" without a budget that stops ",
					exposure.unlimited_sessions === 1 ? "it" : "them",
					"."
				] }) : /* @__PURE__ */ a($, { children: [
					"At most ",
					/* @__PURE__ */ a("b", { children: dollars(exposure.most_micros) }),
					" can still be spent under these budgets"
				] }),
				" ",
				/* @__PURE__ */ a("span", {
					class: "dim",
					children: [dollars(exposure.outstanding_micros), " is lent to sessions now."]
				})
			] }),
			budgets?.length === 0 && /* @__PURE__ */ a("p", {
				class: "dim",
				children: "There is no budget. In the configuration, or: halctl budgets set NAME --limit USD"
			}),
			/* @__PURE__ */ a("ul", {
				class: "devices",
				children: budgets?.slice(0, 200).map((one) => /* @__PURE__ */ a(Budget, {
					budget: one,
					reload
				}, `${one.name} ${one.session_id}`))
			}),
			budgets && budgets.length > 0 && !may(me.value?.role, "admin") && /* @__PURE__ */ a("p", {
				class: "dim",
				children: [
					"Raising a budget takes the role admin; yours is ",
					me.value?.role,
					"."
				]
			})
		]
	});
}
function Budget({ budget, reload }) {
	const used = budget.spent_micros + budget.outstanding_micros;
	const isNear = used >= budget.limit_micros * .85;
	return /* @__PURE__ */ a("li", {
		class: "budget",
		children: [/* @__PURE__ */ a("div", { children: [
			/* @__PURE__ */ a("b", { children: /* @__PURE__ */ a(Name, { text: budget.name }) }),
			" ",
			/* @__PURE__ */ a("span", {
				class: "dim",
				children: [
					/* @__PURE__ */ a(Visible, { text: budget.scope }),
					budget.session_id && /* @__PURE__ */ a($, { children: [" ", /* @__PURE__ */ a("a", {
						href: href("sessions", budget.session_id),
						children: /* @__PURE__ */ a(Name, { text: budget.session_id })
					})] }),
					", per ",
					budget.period,
					" (",
					budget.current,
					")"
				]
			}),
			/* @__PURE__ */ a("p", { children: [
				/* @__PURE__ */ a("span", {
					class: `bar${isNear ? " full" : ""}`,
					children: /* @__PURE__ */ a("meter", {
						class: "wide",
						min: 0,
						max: Math.max(1, budget.limit_micros),
						value: Math.min(used, budget.limit_micros),
						"aria-label": `${budget.name}: ${dollars(used)} of ${dollars(budget.limit_micros)}`
					})
				}),
				" ",
				dollars(budget.spent_micros),
				" spent, ",
				dollars(budget.outstanding_micros),
				" lent, ",
				dollars(budget.free_micros),
				" free of ",
				dollars(budget.limit_micros),
				budget.raised_micros > 0 && ` (raised by ${dollars(budget.raised_micros)})`,
				"; at the limit: ",
				budget.at_limit.replace("_", " ")
			] })
		] }), may(me.value?.role, "admin") && /* @__PURE__ */ a(Raise, {
			budget,
			reload
		})]
	});
}
/** More until the end of its period. Asked for twice it would be twice as much: so it is never tried again by itself. */
function Raise({ budget, reload }) {
	const [isOpen, setOpen] = d$2(false);
	const [by, setBy] = d$2("");
	const acting = useAct();
	const micros = Math.round(Number(by.replace(",", ".")) * 1e6);
	const isMeant = Number.isFinite(micros) && micros > 0;
	const isAway = connection.value.state !== "live";
	const raise = (event) => {
		event.preventDefault();
		if (!isMeant || isAway || acting.state === "sending") return;
		acting.act(`Raise ${budget.name}`, async () => {
			await post(`api/v1/budgets/${part(budget.name)}/raise`, {
				by_micros: micros,
				...budget.session_id ? { session_id: budget.session_id } : {}
			});
			setOpen(false);
			setBy("");
			return `by ${dollars(micros)} until the end of its ${budget.period}`;
		}).then(reload);
	};
	return /* @__PURE__ */ a($, { children: [
		isOpen ? /* @__PURE__ */ a("form", {
			class: "form",
			onSubmit: raise,
			children: [
				/* @__PURE__ */ a("label", { children: [
					"Raise ",
					budget.name,
					" by, in US dollars",
					/* @__PURE__ */ a("input", {
						type: "text",
						name: "by",
						inputMode: "decimal",
						value: by,
						autocomplete: "off",
						onInput: (event) => setBy(event.currentTarget.value)
					})
				] }),
				/* @__PURE__ */ a("button", {
					type: "submit",
					class: "primary",
					disabled: !isMeant || isAway,
					children: ["Raise", isMeant ? ` by ${dollars(micros)}` : ""]
				}),
				/* @__PURE__ */ a("button", {
					type: "button",
					onClick: () => setOpen(false),
					children: "Cancel"
				})
			]
		}) : /* @__PURE__ */ a("button", {
			type: "button",
			disabled: isAway,
			onClick: () => setOpen(true),
			"aria-label": `Raise ${budget.name}…`,
			children: "Raise…"
		}),
		/* @__PURE__ */ a(Outcome$1, { of: acting }),
		isOpen && /* @__PURE__ */ a(Terminal, { lines: [`halctl budgets raise ${quoted(budget.name)} --by ${by || "USD"}${budget.session_id ? ` --session ${quoted(budget.session_id)}` : ""}`] })
	] });
}
function Fresh({ report }) {
	const late = report.freshness.filter((one) => !["live", "ok"].includes(one.state));
	return /* @__PURE__ */ a("details", {
		class: "panel",
		open: late.length > 0 && late.length <= 5,
		children: [/* @__PURE__ */ a("summary", { children: ["How fresh these numbers are", late.length > 0 ? `: ${late.length} behind` : ""] }), /* @__PURE__ */ a("ul", {
			class: "told",
			children: (late.length > 0 ? late : report.freshness).slice(0, 100).map((one) => /* @__PURE__ */ a("li", { children: [
				/* @__PURE__ */ a(Visible, { text: one.source }),
				": ",
				/* @__PURE__ */ a("b", { children: one.state }),
				one.as_of !== "0001-01-01T00:00:00Z" && /* @__PURE__ */ a($, { children: [", complete up to ", /* @__PURE__ */ a(Ago, { at: one.as_of })] }),
				one.note && /* @__PURE__ */ a("span", {
					class: "dim",
					children: [" ", /* @__PURE__ */ a(Visible, { text: one.note })]
				})
			] }, one.source))
		})]
	});
}
// src/nouns/state.tsx
var WORDS = {
	waiting: "needs you",
	running: "running",
	retrying: "retrying",
	idle: "idle",
	error: "error",
	unreachable: "unreachable",
	ended: "ended"
};
var MARKS = {
	waiting: "?",
	running: "▶",
	retrying: "↻",
	idle: "‖",
	error: "✕",
	unreachable: "∅",
	ended: "■"
};
function StatePill({ status, lastKnown, isPaused }) {
	return /* @__PURE__ */ a("span", {
		class: `pill session ${status}`,
		children: [
			/* @__PURE__ */ a("span", {
				"aria-hidden": "true",
				children: MARKS[status] ?? "·"
			}),
			" ",
			WORDS[status] ?? status,
			lastKnown && `, was ${lastKnown === "waiting" ? "waiting" : WORDS[lastKnown]}`,
			isPaused && ", paused"
		]
	});
}
// src/nouns/window.ts
/** Rows that are asked for beside those in view, and the step in which the window moves. */
var BESIDE = 20;
var STEP = 10;
/** The longest that an order is held. */
var HELD = 15e3;
function height(table, name) {
	return Number.parseFloat(getComputedStyle(table).getPropertyValue(name)) || 50;
}
/** The first row in view, counted from 0, as far as the table's top is scrolled away. */
function firstInView(table, layout) {
	const [row, heading] = [height(table, "--row"), height(table, "--heading")];
	let left = -table.getBoundingClientRect().top;
	let before = 0;
	for (const group of layout.groups) {
		left -= heading;
		const its = group.count * row;
		if (left < its) break;
		left -= its;
		before += group.count;
	}
	return before + Math.max(0, Math.floor(left / row));
}
function useWindow(table, layout) {
	const [from, setFrom] = d$2(0);
	const known = T$1(layout);
	known.current = layout;
	const visible = () => Math.ceil(window.innerHeight / (table.current ? height(table.current, "--row") : 50));
	const rows = Math.min(200, visible() + 40);
	A$1(() => {
		let frame = 0;
		const look = () => {
			frame = 0;
			if (!table.current || !known.current) return;
			const first = firstInView(table.current, known.current);
			const wanted = Math.max(0, Math.floor((first - BESIDE) / STEP) * STEP);
			setFrom((before) => Math.abs(wanted - before) >= STEP ? wanted : before);
		};
		const later = () => {
			if (!frame) frame = requestAnimationFrame(look);
		};
		window.addEventListener("scroll", later, { passive: true });
		window.addEventListener("resize", later);
		later();
		return () => {
			window.removeEventListener("scroll", later);
			window.removeEventListener("resize", later);
			cancelAnimationFrame(frame);
		};
	}, []);
	return {
		from,
		rows
	};
}
/** The head of a list; while a pointer or the focus is among its rows it stays as it was, unless another one was asked for. */
function useHeld(table, latest) {
	const held = T$1(void 0);
	const [, again] = d$2(0);
	const isPointedAt = () => {
		const rows = table.current?.querySelector("tbody");
		return !!rows && (rows.matches(":hover") || rows.contains(document.activeElement));
	};
	A$1(() => {
		const look = window.setInterval(() => again((count) => count + 1), 1e3);
		return () => window.clearInterval(look);
	}, []);
	if (!latest) return void 0;
	const before = held.current;
	const isSame = before && before.head.query === latest.query;
	if (before && isSame && before.head !== latest && isPointedAt() && Date.now() - before.since < HELD) return before.head;
	if (before?.head !== latest) held.current = {
		head: latest,
		since: Date.now()
	};
	return latest;
}
// src/nouns/fleet.tsx
var SORTS = [
	["state", "by state"],
	["active", "last active first"],
	["cost", "most expensive first"],
	["context", "fullest context first"],
	["started", "newest first"],
	["title", "by title"]
];
var FIELDS = [
	"status",
	"project",
	"node",
	"label",
	"q",
	"sort"
];
/** The part of the address that the supervisor is asked with. */
function asked() {
	const given = new URLSearchParams(search.value);
	const query = new URLSearchParams();
	for (const field of FIELDS) if (given.get(field)) query.set(field, given.get(field) ?? "");
	return query;
}
function set(field, value) {
	const query = new URLSearchParams(search.value);
	if (value) query.set(field, value);
	else query.delete(field);
	refine(query);
}
function FleetScreen() {
	const query = asked();
	const filter = query.toString();
	const states = (query.get("status") ?? "").split(",").filter((word) => STATES$2.includes(word));
	const latest = fleet.value?.get("head");
	const names = fleet.value?.get("names");
	const isCurrent = latest !== void 0 && withoutWindow(latest.query) === filter;
	const table = T$1(null);
	const head = useHeld(table, isCurrent ? latest : void 0);
	const isGrouped = (query.get("sort") ?? "state") === "state";
	const layout = w$2(() => head ? layoutOf(head, states, isGrouped) : void 0, [head, filter]);
	const { from, rows } = useWindow(table, layout);
	const topic = `fleet?${filter}${filter ? "&" : ""}from=${from}&rows=${rows}`;
	A$1(() => follow([topic]), [topic]);
	A$1(() => () => follow([]), []);
	useKeys$1(table);
	return /* @__PURE__ */ a($, { children: [
		/* @__PURE__ */ a("h1", {
			tabIndex: -1,
			children: "Fleet"
		}),
		/* @__PURE__ */ a(Filters, {
			query,
			names
		}),
		/* @__PURE__ */ a(Counts$1, {
			counts: latest?.counts,
			states
		}),
		!head && /* @__PURE__ */ a("p", {
			class: "dim",
			children: "Asking the supervisor …"
		}),
		head && layout && layout.total === 0 && /* @__PURE__ */ a(Nobody, { isFiltered: filter !== "" }),
		head && layout && layout.total > 0 && /* @__PURE__ */ a(Table, {
			table,
			head,
			layout
		}),
		/* @__PURE__ */ a(Terminal, { lines: [line(query)] })
	] });
}
function withoutWindow(query) {
	const all = new URLSearchParams(query);
	all.delete("from");
	all.delete("rows");
	return all.toString();
}
function line(query) {
	const flag = (name, field) => query.get(field) ? ` --${name} ${quoted(query.get(field) ?? "")}` : "";
	return `halctl sessions list${flag("status", "status")}${flag("project", "project")}${flag("node", "node")}${flag("label", "label")}`;
}
/** How many rows of each state there are, in the order of the list. */
function layoutOf(head, states, isGrouped) {
	const groups = STATES$2.filter((state) => states.length === 0 || states.includes(state)).map((state) => ({
		name: state,
		count: head.counts[state] ?? 0
	}));
	return {
		total: groups.reduce((sum, group) => sum + group.count, 0),
		from: head.from,
		loaded: head.order.length,
		groups: isGrouped ? groups.filter((group) => group.count > 0) : []
	};
}
function Filters({ query, names }) {
	const [text, setText] = d$2(query.get("q") ?? "");
	const later = T$1(void 0);
	const given = query.get("q") ?? "";
	A$1(() => setText((known) => known.trim() === given ? known : given), [given]);
	const type = (value) => {
		setText(value);
		window.clearTimeout(later.current);
		later.current = window.setTimeout(() => set("q", value.trim()), 200);
	};
	const choice = (field, all, known) => /* @__PURE__ */ a("label", { children: [/* @__PURE__ */ a("span", {
		class: "unseen",
		children: field
	}), /* @__PURE__ */ a("select", {
		value: query.get(field) ?? "",
		onChange: (event) => set(field, event.currentTarget.value),
		children: [/* @__PURE__ */ a("option", {
			value: "",
			children: all
		}), [.../* @__PURE__ */ new Set([...known, ...query.get(field) ? [query.get(field) ?? ""] : []])].map((name) => /* @__PURE__ */ a("option", {
			value: name,
			children: name.length > 60 ? `${name.slice(0, 60)}…` : name
		}, name))]
	})] });
	return /* @__PURE__ */ a("form", {
		class: "filters",
		role: "search",
		onSubmit: (event) => event.preventDefault(),
		children: [
			/* @__PURE__ */ a("label", { children: [/* @__PURE__ */ a("span", {
				class: "unseen",
				children: "Search title, id, project, node"
			}), /* @__PURE__ */ a("input", {
				type: "search",
				name: "q",
				placeholder: "Search title, id, project, node",
				value: text,
				autocomplete: "off",
				spellcheck: false,
				onInput: (event) => type(event.currentTarget.value)
			})] }),
			choice("project", "all projects", names?.projects ?? []),
			choice("node", "all nodes", names?.nodes ?? []),
			/* @__PURE__ */ a("label", { children: [/* @__PURE__ */ a("span", {
				class: "unseen",
				children: "order"
			}), /* @__PURE__ */ a("select", {
				value: query.get("sort") ?? "state",
				onChange: (event) => set("sort", event.currentTarget.value === "state" ? "" : event.currentTarget.value),
				children: SORTS.map(([value, word]) => /* @__PURE__ */ a("option", {
					value,
					children: word
				}, value))
			})] })
		]
	});
}
/** How many there are in each state; each is a filter. */
function Counts$1({ counts, states }) {
	const toggle = (state) => {
		const others = states.filter((one) => one !== state);
		set("status", (states.includes(state) ? others : [...others, state]).join(","));
	};
	return /* @__PURE__ */ a("div", {
		class: "chips",
		role: "group",
		"aria-label": "States",
		children: [STATES$2.filter((state) => (counts?.[state] ?? 0) > 0 || states.includes(state)).map((state) => /* @__PURE__ */ a("button", {
			type: "button",
			class: `chip ${state}`,
			"aria-pressed": states.includes(state),
			onClick: () => toggle(state),
			children: [
				WORDS[state],
				" ",
				/* @__PURE__ */ a("b", { children: (counts?.[state] ?? 0).toLocaleString() })
			]
		}, state)), states.length > 0 && /* @__PURE__ */ a("button", {
			type: "button",
			class: "quiet",
			onClick: () => set("status", ""),
			children: "all states"
		})]
	});
}
function Nobody({ isFiltered }) {
	return isFiltered ? /* @__PURE__ */ a("section", {
		class: "nobody",
		children: [/* @__PURE__ */ a("p", {
			class: "big",
			children: "No session matches."
		}), /* @__PURE__ */ a("button", {
			type: "button",
			onClick: () => refine(new URLSearchParams()),
			children: "Show all"
		})]
	}) : /* @__PURE__ */ a("section", {
		class: "nobody",
		children: [
			/* @__PURE__ */ a("p", {
				class: "big",
				children: "There is no session yet."
			}),
			/* @__PURE__ */ a("p", { children: "Start one at a terminal:" }),
			/* @__PURE__ */ a(Line, { text: "halctl sessions start PROJECT 'what is to be done'" })
		]
	});
}
function Table({ table, head, layout }) {
	const known = T$1(/* @__PURE__ */ new Map());
	const things = fleet.value;
	const rows = head.order.map((id) => things?.get(`row/${id}`) ?? known.current.get(id)).filter((row) => row !== void 0);
	F$1(() => {
		known.current = new Map(rows.map((row) => [row.id, row]));
	});
	const cells = [];
	let [place, start] = [0, 0];
	const starts = /* @__PURE__ */ new Map();
	for (const group of layout.groups) {
		starts.set(start, group);
		start += group.count;
	}
	for (const row of rows) {
		const index = head.from + place;
		const group = starts.get(index);
		if (group) cells.push(/* @__PURE__ */ a(Heading, { group }, `group ${group.name}`));
		cells.push(/* @__PURE__ */ a(Row, {
			row,
			index
		}, row.id));
		place += 1;
	}
	return /* @__PURE__ */ a("table", {
		role: "table",
		class: "fleet",
		ref: table,
		"aria-rowcount": layout.total + 1,
		"aria-label": "Sessions",
		children: [/* @__PURE__ */ a("thead", {
			role: "rowgroup",
			children: /* @__PURE__ */ a("tr", {
				role: "row",
				"aria-rowindex": 1,
				children: [
					/* @__PURE__ */ a("th", {
						scope: "col",
						role: "columnheader",
						children: "State"
					}),
					/* @__PURE__ */ a("th", {
						scope: "col",
						role: "columnheader",
						children: "Session"
					}),
					/* @__PURE__ */ a("th", {
						scope: "col",
						role: "columnheader",
						children: "Project, node"
					}),
					/* @__PURE__ */ a("th", {
						scope: "col",
						role: "columnheader",
						children: "Context"
					}),
					/* @__PURE__ */ a("th", {
						scope: "col",
						role: "columnheader",
						children: "To do"
					}),
					/* @__PURE__ */ a("th", {
						scope: "col",
						role: "columnheader",
						class: "number",
						children: "Cost"
					})
				]
			})
		}), /* @__PURE__ */ a("tbody", {
			role: "rowgroup",
			children: [
				/* @__PURE__ */ a(Space, { rows: above(layout) }),
				cells,
				/* @__PURE__ */ a(Space, { rows: below(layout) })
			]
		})]
	});
}
/** Rows, and headings among them, before and behind the window. */
function above(layout) {
	let start = 0;
	let headings = 0;
	for (const group of layout.groups) {
		if (start < layout.from) headings += 1;
		start += group.count;
	}
	return [layout.from, headings];
}
function below(layout) {
	const end = layout.from + layout.loaded;
	let start = 0;
	let headings = 0;
	for (const group of layout.groups) {
		if (start >= end) headings += 1;
		start += group.count;
	}
	return [Math.max(0, layout.total - end), headings];
}
function Space({ rows: [rows, headings] }) {
	if (rows === 0) return null;
	return /* @__PURE__ */ a("tr", {
		"aria-hidden": "true",
		class: "space",
		style: { height: `calc(${rows} * var(--row) + ${headings} * var(--heading))` },
		children: /* @__PURE__ */ a("td", { colSpan: 6 })
	});
}
function Heading({ group }) {
	return /* @__PURE__ */ a("tr", {
		role: "row",
		class: "group",
		children: /* @__PURE__ */ a("th", {
			scope: "rowgroup",
			role: "rowheader",
			colSpan: 6,
			children: [
				/* @__PURE__ */ a("span", {
					class: "title",
					children: WORDS[group.name]
				}),
				" ",
				/* @__PURE__ */ a("span", {
					class: "dim",
					children: group.count.toLocaleString()
				})
			]
		})
	});
}
function Row({ row, index }) {
	return /* @__PURE__ */ a("tr", {
		role: "row",
		class: `row ${row.status}`,
		"aria-rowindex": index + 2,
		"data-session": row.id,
		children: [
			/* @__PURE__ */ a("td", {
				role: "cell",
				class: "in-state",
				children: [/* @__PURE__ */ a(StatePill, {
					status: row.status,
					lastKnown: row.last_known,
					isPaused: row.paused
				}), /* @__PURE__ */ a("span", {
					class: "since",
					children: /* @__PURE__ */ a(Ago, {
						at: row.since,
						words: ""
					})
				})]
			}),
			/* @__PURE__ */ a("td", {
				role: "cell",
				class: "what-is",
				children: [/* @__PURE__ */ a("a", {
					href: href("sessions", row.id),
					class: "one",
					children: [row.parent_id && /* @__PURE__ */ a("span", {
						title: "a helper of another session",
						children: "↳ "
					}), /* @__PURE__ */ a(Visible, { text: row.title || row.id })]
				}), /* @__PURE__ */ a("span", {
					class: "one dim",
					children: [row.status === "waiting" && row.asks > 1 && `${row.asks} wait: `, /* @__PURE__ */ a(Visible, { text: row.why || row.labels?.join(", ") || row.id })]
				})]
			}),
			/* @__PURE__ */ a("td", {
				role: "cell",
				class: "where",
				children: [/* @__PURE__ */ a("span", {
					class: "one",
					children: /* @__PURE__ */ a(Name, { text: row.project })
				}), /* @__PURE__ */ a("span", {
					class: "one dim",
					children: /* @__PURE__ */ a(Name, { text: row.node_id })
				})]
			}),
			/* @__PURE__ */ a("td", {
				role: "cell",
				class: "context",
				children: row.context && /* @__PURE__ */ a(Bar, {
					used: row.context.used,
					limit: row.context.limit,
					of: "context"
				})
			}),
			/* @__PURE__ */ a("td", {
				role: "cell",
				class: "todo",
				children: row.todo && `${row.todo[0]}/${row.todo[1]}`
			}),
			/* @__PURE__ */ a("td", {
				role: "cell",
				class: "number cost",
				children: /* @__PURE__ */ a(Money, { micros: row.cost_micros })
			})
		]
	});
}
/** The next row and the one before, whatever has the focus. */
function useKeys$1(table) {
	A$1(() => {
		const step = (by) => {
			const links = [...table.current?.querySelectorAll("tr.row a") ?? []];
			const at = links.findIndex((link) => link === document.activeElement);
			const top = links.findIndex((link) => link.getBoundingClientRect().top > 60);
			const next = at < 0 ? links[Math.max(0, top)] : links[at + by];
			next?.focus({ preventScroll: true });
			next?.scrollIntoView({ block: "nearest" });
		};
		ofScreen.value = [
			{
				key: "j",
				does: "next session",
				act: () => step(1)
			},
			{
				key: "k",
				does: "session before",
				act: () => step(-1)
			},
			{
				key: "/",
				does: "search",
				act: () => document.querySelector(".filters input")?.focus()
			}
		];
		return () => {
			ofScreen.value = [];
		};
	}, [me.value]);
}
// src/parts/say.tsx
var PACE = 5e3;
var polite = y$1("");
var urgent = y$1("");
var last = 0;
var later;
function say(text) {
	window.clearTimeout(later);
	const wait = Math.max(0, last + PACE - Date.now());
	later = window.setTimeout(() => {
		last = Date.now();
		polite.value = text;
	}, wait);
}
function cry(text) {
	urgent.value = text;
}
function Voice() {
	return /* @__PURE__ */ a("div", {
		class: "unseen",
		children: [/* @__PURE__ */ a("p", {
			"aria-live": "polite",
			children: polite.value
		}), /* @__PURE__ */ a("p", {
			"aria-live": "assertive",
			children: urgent.value
		})]
	});
}
// src/nouns/halt.tsx
/** The longest that the supervisor itself waits for turns to stop, and a little. */
var LONGEST = 130;
function HaltScreen() {
	const [project, setProject] = d$2("");
	const [asked, setAsked] = d$2();
	A$1(() => {
		follow(["halt"]);
		return () => follow([]);
	}, []);
	const halts = chrome.value?.halts ?? [];
	const nodes = [...turns.value.values()].sort((one, other) => one.node_id.localeCompare(other.node_id));
	const projects = [...new Set(nodes.flatMap((node) => node.projects))].sort();
	const isHalted = halts.some((halt) => halt.project === "" || halt.project === project);
	const ask = async (what, body) => {
		setAsked({
			what,
			state: "sending",
			said: ""
		});
		try {
			const command = await post("api/v1/commands", body, crypto.randomUUID?.() ?? String(Math.random()));
			setAsked({
				what,
				state: "told",
				said: command.error ?? command.output ?? command.state
			});
		} catch (error) {
			setAsked({
				what,
				state: error instanceof NoAnswer ? "unknown" : "refused",
				said: sentence(error)
			});
		}
	};
	const halt = () => {
		cry(project ? `Halting project ${project}` : "Halting everything");
		const scope = project ? { project } : {};
		ask(project ? `Halt of project ${project}` : "Halt of everything", {
			type: "halt_work",
			...scope,
			timeout: LONGEST
		});
	};
	const release = (one) => void ask(one.project ? `Release of project ${one.project}` : "Release of everything", {
		type: "halt_work",
		...one.project ? { project: one.project } : {},
		args: { release: true },
		timeout: 30
	});
	return /* @__PURE__ */ a($, { children: [
		/* @__PURE__ */ a("h1", {
			tabIndex: -1,
			children: "Halt"
		}),
		halts.map((one) => /* @__PURE__ */ a(Halted, {
			halt: one,
			release: () => release(one)
		}, one.project)),
		asked && /* @__PURE__ */ a(Outcome, { asked }),
		/* @__PURE__ */ a("section", {
			class: "panel",
			children: [
				/* @__PURE__ */ a("h2", { children: isHalted ? "What still runs" : "What it would stop" }),
				/* @__PURE__ */ a(Scope, {
					projects,
					project,
					set: setProject
				}),
				!haveTurns.value ? /* @__PURE__ */ a("p", {
					class: "dim",
					children: "Asking the supervisor …"
				}) : /* @__PURE__ */ a(Nodes, {
					nodes,
					project,
					isHalted
				}),
				!isHalted && me.value && may(me.value.role, "approver") && /* @__PURE__ */ a(Confirm, {
					project,
					halt,
					isSending: asked?.state === "sending"
				}),
				me.value && !may(me.value.role, "approver") && /* @__PURE__ */ a("p", {
					class: "dim",
					children: [
						"Halting takes the role approver; yours is ",
						me.value.role,
						"."
					]
				})
			]
		}),
		/* @__PURE__ */ a(Terminal, { lines: [project ? `halctl sessions halt --project ${quoted(project)}` : "halctl sessions halt --all", project ? `halctl sessions halt --project ${quoted(project)} --release` : "halctl sessions halt --all --release"] })
	] });
}
function Outcome({ asked }) {
	const words = {
		sending: "sent; the supervisor looks until all of it has stopped …",
		told: asked.said,
		refused: asked.said,
		unknown: "no answer: whether it arrived is shown here as soon as the supervisor answers again"
	}[asked.state];
	return /* @__PURE__ */ a("p", {
		class: `sent ${asked.state}`,
		role: "status",
		children: [
			asked.state === "sending" && /* @__PURE__ */ a("span", {
				class: "spinner",
				"aria-hidden": "true"
			}),
			" ",
			/* @__PURE__ */ a("b", { children: [asked.what, ":"] }),
			" ",
			/* @__PURE__ */ a(Visible, { text: words })
		]
	});
}
function Scope({ projects, project, set }) {
	return /* @__PURE__ */ a("label", {
		class: "scope",
		children: ["Which work", /* @__PURE__ */ a("select", {
			value: project,
			onChange: (event) => set(event.currentTarget.value),
			children: [/* @__PURE__ */ a("option", {
				value: "",
				children: "everything, on all nodes"
			}), projects.map((name) => /* @__PURE__ */ a("option", {
				value: name,
				children: ["project ", name]
			}, name))]
		})]
	});
}
var count = (node, project) => Object.entries(node.turns).reduce((sum, [name, turns]) => project === "" || name === project ? sum + turns : sum, 0);
function Nodes({ nodes, project, isHalted }) {
	const concerned = nodes.filter((node) => project === "" || node.projects.includes(project) || count(node, project) > 0);
	const all = concerned.reduce((sum, node) => sum + count(node, project), 0);
	const away = concerned.filter((node) => !node.online).length;
	return /* @__PURE__ */ a($, { children: [/* @__PURE__ */ a("p", {
		class: "sum",
		children: [
			/* @__PURE__ */ a("b", { children: all === 1 ? "One turn runs" : `${all} turns run` }),
			" on ",
			concerned.length === 1 ? "one node" : `${concerned.length} nodes`,
			away > 0 && /* @__PURE__ */ a($, { children: [
				"; of ",
				away === 1 ? "one that is" : `${away} that are`,
				" not connected nobody knows"
			] }),
			"."
		]
	}), /* @__PURE__ */ a("div", {
		class: "scroll",
		children: /* @__PURE__ */ a("table", { children: [/* @__PURE__ */ a("thead", { children: /* @__PURE__ */ a("tr", { children: [/* @__PURE__ */ a("th", {
			scope: "col",
			children: "Node"
		}), /* @__PURE__ */ a("th", {
			scope: "col",
			children: isHalted ? "Has it stopped?" : "Turns"
		})] }) }), /* @__PURE__ */ a("tbody", { children: concerned.map((node) => /* @__PURE__ */ a("tr", { children: [/* @__PURE__ */ a("th", {
			scope: "row",
			children: /* @__PURE__ */ a(Name, { text: node.node_id })
		}), /* @__PURE__ */ a("td", { children: /* @__PURE__ */ a(NodeState, {
			node,
			project,
			isHalted
		}) })] }, node.node_id)) })] })
	})] });
}
function NodeState({ node, project, isHalted }) {
	const running = node.running.filter((turn) => project === "" || turn.project === project);
	const more = count(node, project) - running.length;
	const nothing = isHalted ? /* @__PURE__ */ a("span", {
		class: "pill good",
		children: "stopped: nothing runs"
	}) : /* @__PURE__ */ a("span", {
		class: "dim",
		children: "nothing runs"
	});
	return /* @__PURE__ */ a($, { children: [
		!node.online && /* @__PURE__ */ a("span", {
			class: "pill bad",
			children: ["not connected", isHalted ? ": it stops when it comes back" : ""]
		}),
		node.online && running.length === 0 && more <= 0 && nothing,
		running.length > 0 && /* @__PURE__ */ a("ul", {
			class: "turns",
			children: running.map((turn) => /* @__PURE__ */ a(Turn, {
				turn,
				isOnline: node.online
			}, turn.session_id))
		}),
		more > 0 && /* @__PURE__ */ a("span", {
			class: "dim",
			children: [
				"and ",
				more,
				" more"
			]
		})
	] });
}
function Turn({ turn, isOnline }) {
	return /* @__PURE__ */ a("li", { children: [
		/* @__PURE__ */ a("a", {
			href: href("sessions", turn.session_id),
			children: /* @__PURE__ */ a(Name, { text: turn.title || turn.session_id })
		}),
		" ",
		/* @__PURE__ */ a("span", {
			class: "dim",
			children: [
				/* @__PURE__ */ a(Name, { text: turn.project }),
				", ",
				isOnline ? "runs since" : "last known to run since",
				" ",
				/* @__PURE__ */ a(At, { at: turn.since })
			]
		}),
		turn.stopping && /* @__PURE__ */ a("span", {
			class: turn.stopping.gave_up ? "pill bad" : "pill busy",
			children: [
				turn.stopping.gave_up ? "did not stop" : "is told to stop",
				", ",
				/* @__PURE__ */ a(Ago, { at: turn.stopping.since })
			]
		}),
		turn.stopping?.why && /* @__PURE__ */ a("p", {
			class: "dim",
			children: /* @__PURE__ */ a(Visible, { text: turn.stopping.why })
		})
	] });
}
/** Nobody halts by a slip: a word where there is a keyboard, a way to slide where there is a thumb. */
function Confirm({ project, halt, isSending }) {
	const [word, setWord] = d$2("");
	const [way, setWay] = d$2(0);
	const isAway = connection.value.state !== "live";
	const isThumb = window.matchMedia("(pointer: coarse)").matches;
	const isMeant = isThumb ? way >= 100 : word.trim().toLowerCase() === "halt";
	const go = (event) => {
		event.preventDefault();
		if (!isMeant || isAway || isSending) return;
		setWord("");
		setWay(0);
		halt();
	};
	return /* @__PURE__ */ a("form", {
		class: "confirm",
		onSubmit: go,
		children: [
			/* @__PURE__ */ a("p", { children: "Turns are interrupted, and killed where they go on; no new one begins until an administrator releases it. Nothing is lost: sessions can be prompted again." }),
			isThumb ? /* @__PURE__ */ a("label", {
				class: "slide",
				children: ["Slide to the end to halt", /* @__PURE__ */ a("input", {
					type: "range",
					min: "0",
					max: "100",
					step: "5",
					value: way,
					onInput: (event) => setWay(event.currentTarget.valueAsNumber)
				})]
			}) : /* @__PURE__ */ a("label", { children: [
				"Type ",
				/* @__PURE__ */ a("b", { children: "halt" }),
				/* @__PURE__ */ a("input", {
					type: "text",
					name: "word",
					autocomplete: "off",
					autocapitalize: "off",
					spellcheck: false,
					value: word,
					onInput: (event) => setWord(event.currentTarget.value)
				})
			] }),
			/* @__PURE__ */ a("button", {
				type: "submit",
				class: "danger",
				disabled: !isMeant || isAway || isSending,
				title: isAway ? "not connected: nothing is sent later by itself" : "",
				children: project ? `Halt project ${project}` : "Halt everything"
			}),
			isAway && /* @__PURE__ */ a("p", {
				class: "dim",
				children: "Not connected: nothing is sent later by itself."
			})
		]
	});
}
function Halted({ halt, release }) {
	const [isAsking, setAsking] = d$2(false);
	return /* @__PURE__ */ a("section", {
		class: "panel halted",
		children: [/* @__PURE__ */ a("p", { children: [
			/* @__PURE__ */ a("b", { children: [/* @__PURE__ */ a(Visible, { text: halt.project ? `Project ${halt.project}` : "Everything" }), " is halted"] }),
			" ",
			"by ",
			/* @__PURE__ */ a(Name, { text: halt.by }),
			", ",
			/* @__PURE__ */ a(Ago, { at: halt.at }),
			"."
		] }), may(me.value?.role, "admin") ? isAsking ? /* @__PURE__ */ a("div", {
			class: "form",
			children: [
				/* @__PURE__ */ a("p", { children: "Work goes on: queued prompts are sent, and new sessions may begin." }),
				/* @__PURE__ */ a("button", {
					type: "button",
					class: "primary",
					onClick: () => {
						setAsking(false);
						release();
					},
					children: ["Release ", halt.project ? `project ${halt.project}` : "everything"]
				}),
				/* @__PURE__ */ a("button", {
					type: "button",
					onClick: () => setAsking(false),
					children: "Cancel"
				})
			]
		}) : /* @__PURE__ */ a("button", {
			type: "button",
			"data-act": "release",
			onClick: () => setAsking(true),
			children: "Release…"
		}) : /* @__PURE__ */ a("p", {
			class: "dim",
			children: "An administrator releases it."
		})]
	});
}
// src/nouns/login.tsx
var trouble = y$1("");
/** Takes a code out of the address: it is good once, and belongs in no history. */
function codeOfAddress() {
	const code = new URLSearchParams(location.hash.slice(1)).get("code") ?? "";
	if (location.hash) history.replaceState(null, "", location.pathname + location.search);
	return code;
}
/** Who is logged in here; a code in the address logs in. */
async function begin(code = codeOfAddress()) {
	try {
		me.value = code ? await post("api/v1/login", { code }) : await get("api/v1/whoami");
	} catch (error) {
		if (error instanceof NoAnswer) {
			trouble.value = "The supervisor does not answer. This page tries again by itself.";
			window.setTimeout(() => void begin(code), 3e3);
			return;
		}
		if (code && !await stillLoggedIn()) trouble.value = sentence(error);
		else if (!(error instanceof Refused && error.status === 401)) trouble.value = sentence(error);
		if (me.value === void 0) me.value = null;
	}
}
async function stillLoggedIn() {
	try {
		me.value = await get("api/v1/whoami");
		return true;
	} catch {
		return false;
	}
}
function Login() {
	const [token, setToken] = d$2("");
	const [isSending, setSending] = d$2(false);
	const field = T$1(null);
	A$1(() => field.current?.focus(), []);
	const submit = async (event) => {
		event.preventDefault();
		if (!token.trim() || isSending) return;
		setSending(true);
		trouble.value = "";
		try {
			me.value = await post("api/v1/login", { token: token.trim() });
		} catch (error) {
			trouble.value = sentence(error);
			field.current?.select();
		} finally {
			setSending(false);
		}
	};
	const isPlain = location.protocol === "http:" && ![
		"localhost",
		"127.0.0.1",
		"[::1]"
	].includes(location.hostname);
	return /* @__PURE__ */ a("main", {
		class: "login",
		children: [
			/* @__PURE__ */ a("img", {
				src: "assets/icon.svg",
				alt: "",
				width: "56",
				height: "56"
			}),
			/* @__PURE__ */ a("h1", {
				tabIndex: -1,
				children: "HAL-O-SWARM"
			}),
			trouble.value && /* @__PURE__ */ a("p", {
				class: "warning",
				role: "alert",
				children: trouble.value
			}),
			/* @__PURE__ */ a("form", {
				onSubmit: (event) => void submit(event),
				children: [
					/* @__PURE__ */ a("input", {
						type: "text",
						name: "username",
						autocomplete: "username",
						value: "hal",
						hidden: true,
						readOnly: true
					}),
					/* @__PURE__ */ a("label", { children: ["Token", /* @__PURE__ */ a("input", {
						ref: field,
						type: "password",
						name: "token",
						autocomplete: "current-password",
						value: token,
						onInput: (event) => setToken(event.currentTarget.value)
					})] }),
					/* @__PURE__ */ a("button", {
						type: "submit",
						class: "primary",
						disabled: isSending || !token.trim(),
						children: isSending ? "Logging in …" : "Log in"
					})
				]
			}),
			/* @__PURE__ */ a("section", { children: [/* @__PURE__ */ a("p", { children: "Without a token: where halctl works, this prints a link that logs a browser in, once." }), /* @__PURE__ */ a(Line, { text: "halctl dashboard" })] }),
			isPlain && /* @__PURE__ */ a("p", {
				class: "warning",
				children: [
					"This page came without TLS: whoever is on the way can read the token. Put a certificate into ",
					/* @__PURE__ */ a("code", { children: "security.tls" }),
					", or a proxy with one in front."
				]
			})
		]
	});
}
/** Nobody knows yet who this is. */
function Waiting$1() {
	return /* @__PURE__ */ a("main", {
		class: "login",
		children: [
			/* @__PURE__ */ a("img", {
				src: "assets/icon.svg",
				alt: "",
				width: "56",
				height: "56"
			}),
			/* @__PURE__ */ a("h1", {
				tabIndex: -1,
				children: "HAL-O-SWARM"
			}),
			/* @__PURE__ */ a("p", {
				class: trouble.value ? "warning" : "dim",
				children: trouble.value || "One moment …"
			})
		]
	});
}
// src/nouns/me.tsx
var theme = y$1(localStorage.getItem("hal.theme") ?? "auto");
/** The colours that were chosen on this machine. */
function dress(chosen = theme.value) {
	theme.value = chosen;
	localStorage.setItem("hal.theme", chosen);
	if (chosen === "auto") delete document.documentElement.dataset["theme"];
	else document.documentElement.dataset["theme"] = chosen;
}
async function logout() {
	try {
		await post("api/v1/logout");
	} finally {
		stop();
		me.value = null;
	}
}
function MeScreen() {
	const [devices, setDevices] = d$2();
	const [why, setWhy] = d$2("");
	const load = () => get("api/v1/whoami/tokens").then(setDevices, (error) => setWhy(sentence(error)));
	A$1(() => void load(), []);
	const revoke = async (id) => {
		try {
			await remove(`api/v1/tokens/${part(id)}`);
			setWhy("");
		} catch (error) {
			setWhy(sentence(error));
		}
		await load();
	};
	const who = me.value;
	if (!who) return /* @__PURE__ */ a($, {});
	return /* @__PURE__ */ a($, { children: [
		/* @__PURE__ */ a("h1", {
			tabIndex: -1,
			children: "Me"
		}),
		/* @__PURE__ */ a("section", {
			class: "panel",
			children: [
				/* @__PURE__ */ a("p", {
					class: "who",
					children: [
						/* @__PURE__ */ a("b", { children: /* @__PURE__ */ a(Name, { text: who.name }) }),
						" ",
						/* @__PURE__ */ a("span", {
							class: "pill",
							children: who.role
						})
					]
				}),
				/* @__PURE__ */ a("p", {
					class: "dim",
					children: [
						"This browser is logged in from ",
						who.from,
						who.expires_at !== "0001-01-01T00:00:00Z" && /* @__PURE__ */ a($, { children: [", until ", /* @__PURE__ */ a(At, { at: who.expires_at })] }),
						"."
					]
				}),
				/* @__PURE__ */ a("button", {
					type: "button",
					onClick: () => void logout(),
					children: "Log out"
				})
			]
		}),
		/* @__PURE__ */ a("section", {
			class: "panel",
			children: [
				/* @__PURE__ */ a("h2", { children: "Where I am logged in" }),
				why && /* @__PURE__ */ a("p", {
					class: "warning",
					role: "alert",
					children: why
				}),
				!devices ? /* @__PURE__ */ a("p", {
					class: "dim",
					children: "Asking the supervisor …"
				}) : /* @__PURE__ */ a(Devices, {
					devices,
					own: who.credential_id,
					revoke: (id) => void revoke(id)
				}),
				/* @__PURE__ */ a(Terminal, { lines: ["halctl tokens list", "halctl tokens revoke ID"] })
			]
		}),
		/* @__PURE__ */ a(Looks, {}),
		/* @__PURE__ */ a("p", {
			class: "dim",
			children: [
				"hal-o-swarm ",
				serverVersion.value,
				" · ",
				/* @__PURE__ */ a("a", {
					href: "assets/NOTICES",
					target: "_blank",
					rel: "noopener",
					children: "what else is in this page"
				})
			]
		})
	] });
}
function Devices({ devices, own, revoke }) {
	return /* @__PURE__ */ a("ul", {
		class: "devices",
		children: devices.filter((one) => one.state === "active").sort((one, other) => other.created_at.localeCompare(one.created_at)).map((one) => /* @__PURE__ */ a("li", { children: [/* @__PURE__ */ a("div", { children: [
			/* @__PURE__ */ a("b", { children: /* @__PURE__ */ a(Name, { text: one.label || one.kind }) }),
			" ",
			one.id === own && /* @__PURE__ */ a("span", {
				class: "pill good",
				children: "this browser"
			}),
			/* @__PURE__ */ a("p", {
				class: "dim",
				children: [
					one.kind,
					" ",
					/* @__PURE__ */ a("code", { children: one.id }),
					", since ",
					/* @__PURE__ */ a(At, { at: one.created_at }),
					one.used_at !== "0001-01-01T00:00:00Z" && /* @__PURE__ */ a($, { children: [
						", used ",
						/* @__PURE__ */ a(Ago, { at: one.used_at }),
						" from ",
						one.used_from
					] })
				]
			})
		] }), /* @__PURE__ */ a(Revoke, {
			name: one.label || one.id,
			isOwn: one.id === own,
			revoke: () => one.id === own ? void logout() : revoke(one.id)
		})] }, one.id))
	});
}
function Revoke({ name, isOwn, revoke }) {
	const [isAsking, setAsking] = d$2(false);
	const word = isOwn ? "Log out" : "Revoke";
	if (!isAsking) return /* @__PURE__ */ a("button", {
		type: "button",
		class: "quiet",
		onClick: () => setAsking(true),
		"aria-label": `${word}: ${name}`,
		children: [word, "…"]
	});
	return /* @__PURE__ */ a("span", {
		class: "form",
		children: [/* @__PURE__ */ a("button", {
			type: "button",
			class: "danger",
			onClick: revoke,
			"aria-label": `${word} ${name} now`,
			children: word
		}), /* @__PURE__ */ a("button", {
			type: "button",
			onClick: () => setAsking(false),
			children: "Cancel"
		})]
	});
}
function Looks() {
	return /* @__PURE__ */ a("section", {
		class: "panel",
		children: [
			/* @__PURE__ */ a("h2", { children: "This page" }),
			/* @__PURE__ */ a("label", {
				class: "scope",
				children: ["Colours", /* @__PURE__ */ a("select", {
					value: theme.value,
					onChange: (event) => dress(event.currentTarget.value),
					children: [
						/* @__PURE__ */ a("option", {
							value: "auto",
							children: "as this machine"
						}),
						/* @__PURE__ */ a("option", {
							value: "light",
							children: "light"
						}),
						/* @__PURE__ */ a("option", {
							value: "dark",
							children: "dark"
						})
					]
				})]
			}),
			/* @__PURE__ */ a("label", {
				class: "choice",
				children: [/* @__PURE__ */ a("input", {
					type: "checkbox",
					checked: inUtc.value,
					onChange: (event) => setUtc(event.currentTarget.checked)
				}), /* @__PURE__ */ a("span", { children: "Times in UTC" })]
			}),
			/* @__PURE__ */ a("label", {
				class: "choice",
				children: [/* @__PURE__ */ a("input", {
					type: "checkbox",
					checked: areOn.value,
					onChange: (event) => setKeys(event.currentTarget.checked)
				}), /* @__PURE__ */ a("span", { children: "Single keys act (press ? for all of them)" })]
			})
		]
	});
}
// src/nouns/node.tsx
/** Nodes that are shown before somebody asks for more. */
var FEW = 100;
/** A clock further off than this is worth a word. */
var OFF_MS = 2e3;
function NodesScreen({ node }) {
	const [most, setMost] = d$2(FEW);
	const status = new URLSearchParams(search.value).get("status") ?? "";
	const { data, meta, why } = usePolled(node ? `api/v1/nodes/${part(node)}` : `api/v1/nodes?limit=${most}${status ? `&status=${part(status)}` : ""}`, node ? 2 : most > FEW ? 20 : 5);
	const nodes = data === void 0 ? void 0 : Array.isArray(data) ? data : [data];
	const total = meta?.total ?? nodes?.length ?? 0;
	return /* @__PURE__ */ a($, { children: [
		/* @__PURE__ */ a("h1", {
			tabIndex: -1,
			children: node ? /* @__PURE__ */ a("a", {
				href: href("nodes"),
				class: "back",
				children: "Nodes"
			}) : "Nodes"
		}),
		why && /* @__PURE__ */ a("p", {
			class: "warning",
			role: "alert",
			children: /* @__PURE__ */ a(Visible, { text: why })
		}),
		!node && /* @__PURE__ */ a("div", {
			class: "chips",
			role: "group",
			"aria-label": "Which nodes",
			children: [[
				"",
				"online",
				"offline"
			].map((word) => /* @__PURE__ */ a("button", {
				type: "button",
				class: "chip",
				"aria-pressed": status === word,
				onClick: () => refine(new URLSearchParams(word ? { status: word } : {})),
				children: word || "all"
			}, word)), /* @__PURE__ */ a("span", {
				class: "dim",
				children: [
					total,
					" ",
					total === 1 ? "node" : "nodes"
				]
			})]
		}),
		!nodes && !why && /* @__PURE__ */ a("p", {
			class: "dim",
			children: "Asking the supervisor …"
		}),
		nodes?.length === 0 && /* @__PURE__ */ a("section", {
			class: "nobody",
			children: [/* @__PURE__ */ a("p", {
				class: "big",
				children: [
					"No node ",
					status ? `is ${status}` : "is here yet",
					"."
				]
			}), !status && /* @__PURE__ */ a($, { children: [/* @__PURE__ */ a("p", { children: "On this machine, in a folder of yours:" }), /* @__PURE__ */ a(Line, { text: "hal up" })] })]
		}),
		nodes?.map((one) => /* @__PURE__ */ a(NodeCard, {
			node: one,
			isOpen: !!node || nodes.length <= 3
		}, one.id)),
		nodes && total > nodes.length && /* @__PURE__ */ a("button", {
			type: "button",
			onClick: () => setMost(1e3),
			children: ["Show all ", total]
		}),
		!node && /* @__PURE__ */ a(Join, {}),
		/* @__PURE__ */ a(Terminal, { lines: node ? [`halctl nodes get ${quoted(node)}`, `halctl nodes revoke ${quoted(node)}`] : ["halctl nodes list", "halctl join-token create --once"] })
	] });
}
function fact(name, value) {
	return /* @__PURE__ */ a("div", { children: [/* @__PURE__ */ a("dt", { children: name }), /* @__PURE__ */ a("dd", { children: value })] });
}
function NodeCard({ node, isOpen }) {
	const { journal, resources } = node;
	const isOnline = node.status === "online";
	const faults = node.projects.filter((project) => project.error).length + (node.backends?.filter((backend) => backend.fault).length ?? 0);
	const isOff = Math.abs(node.clock_ahead_ms) > OFF_MS;
	return /* @__PURE__ */ a("article", {
		class: `card node ${node.status}`,
		"data-node": node.id,
		"aria-labelledby": `n-${node.id}`,
		children: [
			/* @__PURE__ */ a("header", { children: [/* @__PURE__ */ a("h2", {
				id: `n-${node.id}`,
				children: [
					/* @__PURE__ */ a("a", {
						href: href("nodes", node.id),
						children: /* @__PURE__ */ a(Name, { text: node.id })
					}),
					" ",
					node.hostname !== node.id && /* @__PURE__ */ a("span", {
						class: "place",
						children: /* @__PURE__ */ a(Name, { text: node.hostname })
					})
				]
			}), /* @__PURE__ */ a("p", {
				class: "standing",
				children: [/* @__PURE__ */ a("span", {
					class: `pill ${isOnline ? "good" : "bad"}`,
					children: isOnline ? "● online" : "▲ offline"
				}), /* @__PURE__ */ a("span", {
					class: "dim",
					children: ["heard ", /* @__PURE__ */ a(Ago, { at: node.last_heartbeat })]
				})]
			})] }),
			/* @__PURE__ */ a("dl", {
				class: "facts",
				children: [
					fact("sessions", /* @__PURE__ */ a("a", {
						href: `${href("fleet")}?node=${part(node.id)}`,
						children: node.sessions.toLocaleString()
					})),
					fact("version", /* @__PURE__ */ a(Visible, { text: node.version })),
					fact("events", /* @__PURE__ */ a(Journal, {
						journal,
						isOnline
					})),
					resources.memory_total > 0 && fact("memory", `${bytes(resources.memory_used)} of ${bytes(resources.memory_total)}`),
					resources.disk_total > 0 && fact("disk", `${bytes(resources.disk_free)} free of ${bytes(resources.disk_total)}`),
					resources.memory_total > 0 && fact("CPU", `${resources.cpu_percent.toFixed(0)} %`)
				]
			}),
			isOff && /* @__PURE__ */ a("p", {
				class: "warning",
				children: [
					"Its clock is ",
					span(Math.abs(node.clock_ahead_ms)),
					" ",
					node.clock_ahead_ms > 0 ? "ahead of" : "behind",
					" the supervisor's."
				]
			}),
			journal.missing > 0 && /* @__PURE__ */ a("p", {
				class: "warning",
				children: [journal.missing, " events are missing and not explained: this is a fault of the supervisor. Run halctl doctor."]
			}),
			faults > 0 && /* @__PURE__ */ a("p", {
				class: "warning",
				children: [faults === 1 ? "One project or backend" : `${faults} projects or backends`, " cannot be used: see below."]
			}),
			/* @__PURE__ */ a("details", {
				open: isOpen,
				children: [
					/* @__PURE__ */ a("summary", { children: "Projects, backends, connection" }),
					/* @__PURE__ */ a(Projects, { node }),
					/* @__PURE__ */ a(Backends, { node }),
					/* @__PURE__ */ a("dl", {
						class: "facts",
						children: [
							fact("address", /* @__PURE__ */ a(Visible, { text: node.address || "not known" })),
							fact("connected", node.connected_at === "0001-01-01T00:00:00Z" ? "never" : /* @__PURE__ */ a(At, { at: node.connected_at })),
							node.came_in && fact("came in", `by ${{
								key: "its key",
								token: "a token of its own",
								shared: "the shared token"
							}[node.came_in.by] ?? node.came_in.by}, over ${node.came_in.over}`),
							fact("connections so far", String(node.epoch)),
							resources.agent_rss > 0 && fact("hal-agent", bytes(resources.agent_rss)),
							(resources.oom_kills ?? 0) > 0 && fact("ended for lack of memory", String(resources.oom_kills)),
							fact("journal", /* @__PURE__ */ a("code", { children: /* @__PURE__ */ a(Visible, { text: journal.incarnation }) }))
						]
					}),
					/* @__PURE__ */ a(Ends, { node })
				]
			})
		]
	});
}
/** Where its events stand: what it has stored, and what of that is here. */
function Journal({ journal, isOnline }) {
	const given = journal.given_up > 0 ? `; ${journal.given_up.toLocaleString()} given up` : "";
	const here = `${journal.acknowledged.toLocaleString()} of ${journal.held.toLocaleString()} acknowledged`;
	if (journal.lag > 0) return /* @__PURE__ */ a("span", {
		class: "attention",
		children: [
			here,
			", ",
			journal.lag.toLocaleString(),
			" behind",
			given
		]
	});
	return /* @__PURE__ */ a($, { children: [
		here,
		isOnline ? "" : ", as far as is known",
		given
	] });
}
function Projects({ node }) {
	if (node.projects.length === 0) return /* @__PURE__ */ a("p", {
		class: "dim",
		children: "It has no project."
	});
	return /* @__PURE__ */ a("ul", {
		class: "of-node",
		"aria-label": "Projects",
		children: node.projects.slice(0, 100).map((project) => /* @__PURE__ */ a("li", { children: [
			/* @__PURE__ */ a("b", { children: /* @__PURE__ */ a(Name, { text: project.name }) }),
			" ",
			/* @__PURE__ */ a("code", { children: /* @__PURE__ */ a(Visible, { text: project.directory }) }),
			" ",
			/* @__PURE__ */ a("span", {
				class: "dim",
				children: /* @__PURE__ */ a(Visible, { text: project.backend })
			}),
			project.error && /* @__PURE__ */ a("p", {
				class: "warning",
				children: /* @__PURE__ */ a(Visible, { text: project.error })
			})
		] }, project.name))
	});
}
function Backends({ node }) {
	if (!node.backends?.length) return node.status === "offline" ? /* @__PURE__ */ a("p", {
		class: "dim",
		children: "Which backends it has is known only while it is connected."
	}) : null;
	return /* @__PURE__ */ a("ul", {
		class: "of-node",
		"aria-label": "Backends",
		children: node.backends.map((backend) => /* @__PURE__ */ a("li", { children: [
			/* @__PURE__ */ a("b", { children: /* @__PURE__ */ a(Visible, { text: backend.kind }) }),
			" ",
			/* @__PURE__ */ a(Visible, { text: backend.version ?? "" }),
			" ",
			backend.tested && /* @__PURE__ */ a("span", {
				class: "dim",
				children: ["tested with ", /* @__PURE__ */ a(Visible, { text: backend.tested })]
			}),
			backend.fault && /* @__PURE__ */ a("p", {
				class: "warning",
				children: /* @__PURE__ */ a(Visible, { text: backend.fault })
			}),
			(backend.unguarded?.length ?? 0) > 0 && /* @__PURE__ */ a("p", {
				class: "warning",
				children: ["It asks nobody for permission in: ", /* @__PURE__ */ a(Visible, { text: backend.unguarded?.join(", ") ?? "" })]
			})
		] }, backend.kind))
	});
}
/** How a node ends: let in no more, or removed when it will not come back. */
function Ends({ node }) {
	const acting = useAct();
	const isAway = connection.value.state !== "live";
	if (!may(me.value?.role, "admin")) return /* @__PURE__ */ a("p", {
		class: "dim",
		children: [
			"Revoking or removing a node takes the role admin; yours is ",
			me.value?.role,
			"."
		]
	});
	const revoke = () => void acting.act(`Revoke ${node.id}`, async () => {
		await post(`api/v1/nodes/${part(node.id)}/revoke`);
		return "it is let in no more, by whatever key or token it has";
	});
	const gone = () => void acting.act(`Remove ${node.id}`, async () => {
		await remove(`api/v1/nodes/${part(node.id)}`);
		return "removed; its sessions have left the lists and stay readable";
	});
	return /* @__PURE__ */ a($, { children: [/* @__PURE__ */ a("div", {
		class: "buttons",
		children: [/* @__PURE__ */ a(Sure, {
			word: "Revoke",
			asks: `${node.id} is disconnected at once and let in no more. What runs there goes on without this supervisor. It may join again by another key.`,
			isAway,
			act: revoke
		}), node.status === "offline" && /* @__PURE__ */ a(Sure, {
			word: "Remove",
			asks: "For a node that will not come back: its sessions leave the lists and stay readable.",
			isAway,
			act: gone
		})]
	}), /* @__PURE__ */ a(Outcome$1, { of: acting })] });
}
/** The line by which a new machine joins. It is shown once, and kept nowhere. */
function Join() {
	const [made, setMade] = d$2();
	const [isOnce, setOnce] = d$2(true);
	const acting = useAct();
	const isAway = connection.value.state !== "live";
	if (!may(me.value?.role, "admin")) return /* @__PURE__ */ a("p", {
		class: "dim",
		children: [
			"Adding a node takes the role admin; yours is ",
			me.value?.role,
			"."
		]
	});
	const make = () => void acting.act("Join line", async () => {
		setMade(await post("api/v1/join-tokens", {
			label: "made on the dashboard",
			seconds: 3600,
			is_once: isOnce
		}));
		return "made";
	});
	const base = new URL(".", document.baseURI).href.replace(/\/$/, "");
	return /* @__PURE__ */ a("section", {
		class: "panel join",
		children: [/* @__PURE__ */ a("h2", { children: "Add a node" }), made ? /* @__PURE__ */ a($, { children: [
			/* @__PURE__ */ a("p", { children: [
				"Run this on the new machine, as root, within ",
				span(Date.parse(made.about.expires_at) - now.value),
				isOnce ? ", once" : "",
				". ",
				/* @__PURE__ */ a("b", { children: "It is not shown again" }),
				"; whoever has it can join."
			] }),
			/* @__PURE__ */ a(Line, { text: `hal-agent join ${base} --token ${made.token}${made.pin ? ` --pin ${made.pin}` : ""}` }),
			!made.is_encrypted && /* @__PURE__ */ a("p", {
				class: "warning",
				children: "This supervisor speaks no TLS: the token goes there as it is."
			}),
			[
				"localhost",
				"127.0.0.1",
				"[::1]"
			].includes(location.hostname) && /* @__PURE__ */ a("p", {
				class: "dim",
				children: [
					"From another machine, put this one's name in place of ",
					location.hostname,
					"."
				]
			}),
			/* @__PURE__ */ a("button", {
				type: "button",
				onClick: () => setMade(void 0),
				children: "Done"
			})
		] }) : /* @__PURE__ */ a($, { children: [
			/* @__PURE__ */ a("label", {
				class: "choice",
				children: [/* @__PURE__ */ a("input", {
					type: "checkbox",
					checked: isOnce,
					onChange: (event) => setOnce(event.currentTarget.checked)
				}), /* @__PURE__ */ a("span", { children: "The first machine that joins ends it" })]
			}),
			/* @__PURE__ */ a("button", {
				type: "button",
				disabled: isAway,
				onClick: make,
				children: "Make the line by which a machine joins"
			}),
			acting.state !== "told" && /* @__PURE__ */ a(Outcome$1, { of: acting })
		] })]
	});
}
// src/nouns/command.tsx
var KEY = "hal.commands";
/** How often one that is not over is looked at. */
var LOOK_EVERY = 700;
var commands = y$1(kept());
var isOver = (one) => [
	"refused",
	"done",
	"failed",
	"expired",
	"unknown"
].includes(one.state);
/** What this tab had sent before it was reloaded; whether the last one arrived may not be known. */
function kept() {
	try {
		return JSON.parse(sessionStorage.getItem(KEY) ?? "[]").map((one) => one.state === "sending" ? {
			...one,
			state: "no answer",
			said: "this page was reloaded"
		} : one);
	} catch {
		return [];
	}
}
function put(one) {
	const others = commands.value.filter((other) => other.key !== one.key);
	const its = others.filter((other) => other.about === one.about).slice(-3);
	commands.value = [
		...others.filter((other) => other.about !== one.about),
		...its,
		one
	].sort((a, b) => a.at - b.at).slice(-50);
	sessionStorage.setItem(KEY, JSON.stringify(commands.value));
}
function dismiss(key) {
	commands.value = commands.value.filter((one) => one.key !== key);
	sessionStorage.setItem(KEY, JSON.stringify(commands.value));
}
function take(one, view) {
	const next = {
		...one,
		id: view.command_id,
		state: view.state,
		said: view.error || view.output || ""
	};
	put(next);
	return next;
}
async function send(one) {
	put(one);
	try {
		take(one, await post("api/v1/commands", {
			...one.body,
			timeout: 0
		}, one.key));
		return true;
	} catch (error) {
		put({
			...one,
			state: error instanceof NoAnswer ? "no answer" : "refused",
			said: sentence(error)
		});
		return false;
	}
}
/** Sends a command about something. True when the supervisor has taken it. */
function command(about, word, body) {
	return send({
		key: crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}`,
		about,
		word,
		body,
		at: Date.now(),
		state: "sending",
		said: ""
	});
}
/** The same request under the same key: what has arrived is not done twice. */
var again = (one) => send({
	...one,
	state: "sending",
	said: ""
});
async function look() {
	for (const one of commands.value) {
		if (isOver(one) || !one.id) continue;
		try {
			const seen = await get(`api/v1/commands/${part(one.id)}`);
			if (seen.state !== one.state) take(one, seen);
		} catch (error) {
			if (error instanceof Refused && error.status === 404) put({
				...one,
				state: "unknown",
				said: "the supervisor does not know it any more"
			});
		}
	}
}
var STEPS = [
	[["sending"], "sent"],
	[["queued"], "accepted"],
	[["sent"], "given to the node"],
	[["running"], "the node is at it"],
	[["done"], "done"]
];
var ENDS = {
	"no answer": "no answer: whether it arrived is not known",
	refused: "refused",
	failed: "failed",
	expired: "expired before the node began: it had no effect",
	unknown: "nobody knows whether it had its effect; look at the session"
};
/** What was sent about something, and how far each is. */
function Commands({ about }) {
	const its = commands.value.filter((one) => one.about === about);
	const isOpen = its.some((one) => !isOver(one) && one.id);
	A$1(() => {
		if (!isOpen) return void 0;
		const timer = window.setInterval(() => {
			if (connection.value.state === "live") look();
		}, LOOK_EVERY);
		return () => window.clearInterval(timer);
	}, [isOpen]);
	if (its.length === 0) return null;
	return /* @__PURE__ */ a("ul", {
		class: "commands",
		"aria-label": "What you have asked for",
		children: its.map((one) => /* @__PURE__ */ a("li", {
			class: `command ${one.state.replace(" ", "-")}`,
			"data-state": one.state,
			children: [
				/* @__PURE__ */ a("b", { children: one.word }),
				" ",
				/* @__PURE__ */ a("span", {
					class: "dim",
					children: clock(one.at)
				}),
				" ",
				/* @__PURE__ */ a(Progress, { one }),
				one.said && /* @__PURE__ */ a("span", {
					class: "said-of-it",
					children: [" ", /* @__PURE__ */ a(Visible, { text: one.said.length > 600 ? `${one.said.slice(0, 600)}…` : one.said })]
				}),
				one.state === "no answer" && /* @__PURE__ */ a("button", {
					type: "button",
					class: "quiet",
					disabled: connection.value.state !== "live",
					onClick: () => void again(one),
					title: "the same request under the same key: what has arrived is not done twice",
					children: "Send it again"
				}),
				(isOver(one) || one.state === "no answer") && /* @__PURE__ */ a("button", {
					type: "button",
					class: "quiet",
					onClick: () => dismiss(one.key),
					"aria-label": `hide: ${one.word}`,
					children: "hide"
				})
			]
		}, one.key))
	});
}
function Progress({ one }) {
	const end = ENDS[one.state];
	if (end) return /* @__PURE__ */ a("span", {
		class: "end",
		children: end
	});
	const at = STEPS.findIndex(([states]) => states.includes(one.state));
	const seen = STEPS.slice(0, at + 1);
	return /* @__PURE__ */ a("span", {
		class: "ticks",
		children: [(one.state === "done" ? [
			seen[0],
			seen[1],
			seen[4]
		] : seen).map((step) => step && /* @__PURE__ */ a("span", { children: [
			"✓ ",
			step[1],
			" "
		] }, step[1])), one.state !== "done" && /* @__PURE__ */ a("span", {
			class: "spinner",
			"aria-hidden": "true"
		})]
	});
}
// src/nouns/composer.tsx
/** How a prompt stands that the supervisor has not taken. */
var NOT_TAKEN = [
	"sending",
	"no answer",
	"refused"
];
var draftOf = (id) => `hal.draft.${id}`;
function Composer({ session }) {
	const { id } = session;
	const [text, setText] = d$2(() => sessionStorage.getItem(draftOf(id)) ?? "");
	const [isSending, setSending] = d$2(false);
	const [began, setBegan] = d$2(0);
	const isAway = connection.value.state !== "live";
	const keep = (value) => {
		setText(value);
		if (value) sessionStorage.setItem(draftOf(id), value);
		else sessionStorage.removeItem(draftOf(id));
	};
	const type = (value) => {
		setBegan(Date.now());
		keep(value);
	};
	const send = async () => {
		if (!text.trim() || isAway || isSending) return;
		setSending(true);
		await command(id, "Prompt", {
			type: "prompt_session",
			session_id: id,
			args: { message: text }
		});
		setSending(false);
	};
	const isTaken = commands.value.some((one) => one.about === id && !NOT_TAKEN.includes(one.state) && one.body["args"]?.message === text && one.at >= began);
	A$1(() => {
		if (isTaken && text) keep("");
	}, [isTaken]);
	const isOver = session.status === "ended";
	return /* @__PURE__ */ a("div", {
		class: "composer",
		children: [/* @__PURE__ */ a(Commands, { about: id }), !may(me.value?.role, "operator") ? /* @__PURE__ */ a("p", {
			class: "dim",
			children: [
				"Prompting takes the role operator; yours is ",
				me.value?.role,
				"."
			]
		}) : /* @__PURE__ */ a("form", {
			onSubmit: (event) => {
				event.preventDefault();
				send();
			},
			children: [/* @__PURE__ */ a("label", { children: [/* @__PURE__ */ a("span", {
				class: "unseen",
				children: "Prompt"
			}), /* @__PURE__ */ a("textarea", {
				name: "prompt",
				rows: text.split("\n").length > 2 ? 5 : 2,
				value: text,
				enterkeyhint: "send",
				placeholder: isOver ? "It has ended; a prompt takes the conversation up again where its coding agent can" : "Prompt it (Ctrl+Enter sends)",
				onInput: (event) => type(event.currentTarget.value),
				onKeyDown: (event) => {
					if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
						event.preventDefault();
						send();
					}
				}
			})] }), /* @__PURE__ */ a("button", {
				type: "submit",
				class: "primary",
				disabled: !text.trim() || isAway || isSending,
				title: isAway ? "not connected: nothing is sent later by itself" : "",
				children: "Send"
			})]
		})]
	});
}
var runs = (session) => [
	"running",
	"waiting",
	"retrying"
].includes(session.last_known ?? session.status);
var ACTS = [
	{
		word: "Abort turn",
		verb: "abort_session",
		least: "approver",
		isFor: runs,
		asks: "The running turn is stopped. The session can be prompted again."
	},
	{
		word: "Pause",
		verb: "pause_session",
		least: "approver",
		isFor: (one) => !one.marks?.paused && one.status !== "ended",
		asks: "The turn is stopped, and no policy touches the session until somebody resumes or prompts it."
	},
	{
		word: "Resume",
		verb: "release_session",
		least: "operator",
		isFor: (one) => !!one.marks?.paused
	},
	{
		word: "Kill",
		verb: "kill_session",
		least: "approver",
		isFor: (one) => one.status !== "ended",
		asks: "Its work and its processes are stopped. The conversation is kept."
	}
];
/** What can be done to it beside prompting it. */
function Actions({ session }) {
	const [asking, setAsking] = d$2("");
	const isAway = connection.value.state !== "live";
	A$1(() => setAsking(""), [session.id]);
	const all = ACTS.filter((act) => act.isFor(session));
	const allowed = all.filter((act) => may(me.value?.role, act.least));
	const beyond = all.filter((act) => !may(me.value?.role, act.least));
	const act = (one) => {
		setAsking("");
		command(session.id, one.word, {
			type: one.verb,
			session_id: session.id
		});
	};
	const asked = allowed.find((one) => one.verb === asking);
	return /* @__PURE__ */ a("section", {
		class: "actions",
		"aria-label": "Actions",
		children: [
			allowed.length > 0 && /* @__PURE__ */ a("div", {
				class: "buttons",
				children: allowed.map((one) => /* @__PURE__ */ a("button", {
					type: "button",
					"data-act": one.verb,
					disabled: isAway,
					onClick: () => one.asks ? setAsking(asking === one.verb ? "" : one.verb) : act(one),
					"aria-expanded": one.asks ? asking === one.verb : void 0,
					children: [one.word, one.asks && "…"]
				}, one.verb))
			}),
			asked && /* @__PURE__ */ a("div", {
				class: "form asked",
				role: "group",
				"aria-label": asked.word,
				children: [
					/* @__PURE__ */ a("p", { children: asked.asks }),
					/* @__PURE__ */ a("button", {
						type: "button",
						class: "danger",
						disabled: isAway,
						onClick: () => act(asked),
						children: [asked.word, " now"]
					}),
					/* @__PURE__ */ a("button", {
						type: "button",
						onClick: () => setAsking(""),
						children: "Cancel"
					})
				]
			}),
			beyond.length > 0 && /* @__PURE__ */ a("p", {
				class: "dim",
				children: [
					beyond.map((one) => `${one.word} takes the role ${one.least}`).join("; "),
					"; yours is ",
					me.value?.role,
					"."
				]
			}),
			isAway && /* @__PURE__ */ a("p", {
				class: "dim",
				children: "Not connected: nothing is sent later by itself."
			})
		]
	});
}
// src/conversation.ts
var NOTHING = {
	entries: [],
	roles: {},
	first: 0,
	last: 0,
	hasMore: false
};
/** With another page: what is told on both is as the later event says, and stands where it was first told. */
function joined(known, page, isOlder) {
	const all = new Map(known.entries.map((entry) => [entry.id, entry]));
	for (const entry of page.entries) {
		const other = all.get(entry.id);
		if (!other) {
			all.set(entry.id, entry);
			continue;
		}
		const [later, earlier] = other.seq >= entry.seq ? [other, entry] : [entry, other];
		all.set(entry.id, later.kind === "usage" ? later : {
			...later,
			place: Math.min(other.place, entry.place),
			at: earlier.at
		});
	}
	const isFirst = known.last === 0;
	return {
		entries: [...all.values()].sort((one, other) => one.place - other.place),
		roles: {
			...page.roles,
			...known.roles,
			...isOlder ? {} : page.roles
		},
		first: isFirst || isOlder && page.first > 0 ? page.first : known.first,
		last: isOlder && !isFirst ? known.last : Math.max(known.last, page.last),
		hasMore: isFirst || isOlder ? page.more : known.hasMore
	};
}
// src/parts/prose.tsx
/** Without the escapes that colour a terminal; whatever else is hidden is named. */
function plain(text) {
	return text.replaceAll(/\u001b\[[0-9;]*m/g, "").replaceAll("\r\n", "\n");
}
/** Splits at lines of three backticks or tildes. A fence that nobody closes goes on to the end. */
function pieces(text) {
	const out = [];
	let open = "";
	let lines = [];
	let language = "";
	const close = (isCode) => {
		const its = isCode ? lines.join("\n") : lines.join("\n").replace(/^\n+|\n+$/g, "");
		if (its !== "" || isCode) out.push({
			isCode,
			language,
			text: its
		});
		lines = [];
		language = "";
	};
	for (const line of text.split("\n")) {
		const fence = /^ {0,3}(`{3,}|~{3,})\s*([^`]*)$/.exec(line);
		if (fence?.[1] && !open) {
			close(false);
			open = fence[1];
			language = (fence[2] ?? "").trim().slice(0, 30);
		} else if (open && fence?.[1]?.startsWith(open) && !fence[2]) {
			close(true);
			open = "";
		} else lines.push(line);
	}
	close(open !== "");
	return out;
}
function Prose({ text }) {
	return /* @__PURE__ */ a("div", {
		class: "prose",
		children: pieces(plain(text)).map((piece, index) => piece.isCode ? /* @__PURE__ */ a("pre", {
			tabIndex: 0,
			"aria-label": piece.language ? `code: ${piece.language}` : "code",
			children: /* @__PURE__ */ a(Visible, { text: piece.text })
		}, index) : /* @__PURE__ */ a("p", { children: /* @__PURE__ */ a(Visible, { text: piece.text }) }, index))
	});
}
// src/nouns/entry.tsx
var LABELS = {
	asked: "asks",
	answered: "answered",
	failed: "failed",
	retry: "retry",
	gap: "gap",
	files: "files"
};
var STATES = {
	pending: ["○", "is being written"],
	running: ["▶", "runs"],
	completed: ["✓", "done"],
	error: ["✕", "failed"]
};
/** Drawn again only where it is another one: a conversation has many. */
var EntryView = class extends x$2 {
	shouldComponentUpdate(next) {
		const { entry, by, isNew } = this.props;
		return entry !== next.entry || by !== next.by || isNew !== next.isNew;
	}
	render() {
		return /* @__PURE__ */ a(Whole, { ...this.props });
	}
};
function Whole({ entry, by, isNew }) {
	switch (entry.kind) {
		case "text": return /* @__PURE__ */ a("article", {
			class: `said ${by}`,
			id: `e-${entry.seq}`,
			tabIndex: -1,
			children: [
				isNew && /* @__PURE__ */ a("p", {
					class: "speaker",
					children: [
						/* @__PURE__ */ a("b", { children: by }),
						" ",
						/* @__PURE__ */ a(At, { at: entry.at })
					]
				}),
				/* @__PURE__ */ a(Prose, { text: entry.text ?? "" }),
				entry.is_growing && /* @__PURE__ */ a("span", {
					class: "caret",
					"aria-hidden": "true"
				}),
				/* @__PURE__ */ a(Cut, { count: entry.cut })
			]
		});
		case "thought": return /* @__PURE__ */ a("details", {
			class: "thought",
			children: [
				/* @__PURE__ */ a("summary", { children: /* @__PURE__ */ a("span", {
					class: "one",
					children: ["thinking: ", /* @__PURE__ */ a(Visible, { text: (entry.text ?? "").slice(0, 160).replaceAll("\n", " ") })]
				}) }),
				/* @__PURE__ */ a(Prose, { text: entry.text ?? "" }),
				/* @__PURE__ */ a(Cut, { count: entry.cut })
			]
		});
		case "tool": return entry.tool ? /* @__PURE__ */ a(Tool, {
			tool: entry.tool,
			cut: entry.cut
		}) : null;
		case "usage": return /* @__PURE__ */ a(Usage, { entry });
		default: return /* @__PURE__ */ a("p", {
			class: `line-of ${entry.kind}`,
			children: [
				LABELS[entry.kind] && /* @__PURE__ */ a("b", { children: LABELS[entry.kind] }),
				" ",
				/* @__PURE__ */ a("span", {
					class: "text",
					children: /* @__PURE__ */ a(Visible, { text: entry.text ?? "" })
				}),
				" ",
				/* @__PURE__ */ a(At, { at: entry.at })
			]
		});
	}
}
function Cut({ count }) {
	return count ? /* @__PURE__ */ a("p", {
		class: "dim",
		children: [count.toLocaleString(), " more characters are not shown here."]
	}) : null;
}
function Tool({ tool, cut }) {
	const [isOpen, setOpen] = d$2(false);
	const hasFailed = tool.state === "error" || tool.exit !== void 0 && tool.exit !== 0;
	const [mark, word] = hasFailed ? ["✕", "failed"] : STATES[tool.state] ?? ["·", "state unknown"];
	return /* @__PURE__ */ a("details", {
		class: `tool ${hasFailed ? "bad" : tool.state}`,
		onToggle: (event) => setOpen(event.currentTarget.open),
		children: [/* @__PURE__ */ a("summary", { children: /* @__PURE__ */ a("span", {
			class: "one",
			children: [
				/* @__PURE__ */ a("span", {
					class: "mark",
					title: word,
					children: [/* @__PURE__ */ a("span", {
						"aria-hidden": "true",
						children: mark
					}), /* @__PURE__ */ a("span", {
						class: "unseen",
						children: [word, ":"]
					})]
				}),
				" ",
				/* @__PURE__ */ a("b", { children: /* @__PURE__ */ a(Visible, { text: tool.name }) }),
				" ",
				/* @__PURE__ */ a("code", { children: /* @__PURE__ */ a(Visible, { text: tool.title }) })
			]
		}) }), isOpen && /* @__PURE__ */ a($, { children: [
			tool.input && /* @__PURE__ */ a(Block, {
				label: "given",
				text: tool.input
			}),
			tool.output && /* @__PURE__ */ a(Block, {
				label: "gave",
				text: tool.output
			}),
			tool.error && /* @__PURE__ */ a(Block, {
				label: "failed",
				text: tool.error
			}),
			tool.exit !== void 0 && /* @__PURE__ */ a("p", {
				class: "dim",
				children: ["exit code ", tool.exit]
			}),
			/* @__PURE__ */ a(Cut, { count: cut })
		] })]
	});
}
function Block({ label, text }) {
	return /* @__PURE__ */ a("figure", {
		class: "block",
		children: [/* @__PURE__ */ a("figcaption", { children: label }), /* @__PURE__ */ a("pre", {
			tabIndex: 0,
			"aria-label": label,
			children: /* @__PURE__ */ a(Visible, { text: plain(text) })
		})]
	});
}
function Usage({ entry }) {
	const usage = entry.usage;
	if (!usage) return null;
	const tokens = Object.values(usage.tokens).reduce((sum, count) => sum + count, 0);
	const cost = usage.cost === null || usage.cost === void 0 ? "cost unknown" : `$${usage.cost.toFixed(4)}`;
	const seconds = usage.seconds === void 0 ? "" : ` · ${usage.seconds.toFixed(usage.seconds < 10 ? 1 : 0)} s`;
	return /* @__PURE__ */ a("p", {
		class: "usage",
		children: [
			/* @__PURE__ */ a(Visible, { text: usage.model }),
			" · ",
			short(tokens),
			" tokens · ",
			cost,
			seconds
		]
	});
}
// src/nouns/conversation.tsx
/** Entries that are in the page at most. */
var MOST = 1500;
/** Pages that are fetched to come up to now; who is further behind begins with the last page again. */
var PATIENCE = 5;
/** Further from the end than this, somebody reads what was before, and is left in peace. */
var NEAR = 120;
async function pageOf(id, query) {
	return get(`api/v1/sessions/${part(id)}/conversation${query}`);
}
function useConversation(id, events) {
	const [known, setKnown] = d$2(NOTHING);
	const [why, setWhy] = d$2("");
	const latest = T$1(NOTHING);
	const wanted = T$1(0);
	const line = T$1(Promise.resolve());
	const put = (next) => {
		latest.current = next;
		setKnown(next);
	};
	/** One after the other: what is asked for while something comes is not forgotten. */
	const inTurn = (task) => {
		const done = line.current.then(task).then(() => setWhy(""), (error) => setWhy(sentence(error)));
		line.current = done;
		return done;
	};
	const catchUp = async (asked) => {
		if (asked !== wanted.current) return;
		for (let no = 0;; no += 1) {
			const { last } = latest.current;
			const isAnew = last === 0 || no >= PATIENCE;
			const page = await pageOf(id, isAnew ? "" : `?after=${last}`);
			put(isAnew ? joined(NOTHING, page, false) : joined(latest.current, page, false));
			if (isAnew || !page.more) break;
		}
	};
	A$1(() => {
		wanted.current += 1;
		const asked = wanted.current;
		inTurn(() => catchUp(asked));
	}, [events, connection.value.state === "live"]);
	const older = (isComing) => inTurn(async () => {
		if (!latest.current.hasMore) return;
		const page = await pageOf(id, `?before=${latest.current.first}`);
		isComing();
		put(joined(latest.current, page, true));
	});
	return {
		known,
		why,
		older
	};
}
/** What is being written, and not stored yet. */
function useGrowing(known) {
	const [growing, setGrowing] = d$2({ words: /* @__PURE__ */ new Map() });
	A$1(() => x$1(() => {
		const frame = live.value;
		if (!frame) return;
		setGrowing((before) => {
			const words = new Map(frame.dropped > 0 ? [] : before.words);
			for (const { part: name, message, text } of frame.words) {
				const whole = `${words.get(`part/${name}`)?.text ?? (frame.dropped > 0 ? "… " : "")}${text}`;
				words.set(`part/${name}`, {
					id: `part/${name}`,
					seq: 0,
					place: 0,
					at: new Date(now.peek()).toISOString(),
					kind: "text",
					message_id: message,
					text: whole,
					is_growing: true
				});
			}
			for (const entry of frame.entries) words.set(entry.id, entry);
			return { words };
		});
	}), []);
	const stored = new Map(known.entries.map((entry) => [entry.id, entry]));
	const isNews = (entry) => {
		const its = stored.get(entry.id);
		return !its || its.is_growing === true && (its.text?.length ?? 0) <= (entry.text?.length ?? 0);
	};
	const rest = [...growing.words.values()].filter(isNews);
	A$1(() => {
		if (rest.length < growing.words.size) setGrowing({ words: new Map(rest.map((entry) => [entry.id, entry])) });
	}, [known]);
	return rest;
}
function ConversationView({ id, events }) {
	const { known, why, older } = useConversation(id, events);
	const growing = useGrowing(known);
	const [isAtStart, setAtStart] = d$2(false);
	const before = T$1(void 0);
	const isAtEnd = T$1(true);
	A$1(() => {
		const look = () => {
			isAtEnd.current = window.innerHeight + window.scrollY >= document.documentElement.scrollHeight - NEAR;
		};
		window.addEventListener("scroll", look, { passive: true });
		return () => window.removeEventListener("scroll", look);
	}, []);
	const byId = new Map(growing.map((entry) => [entry.id, entry]));
	const all = [...known.entries.map((entry) => {
		const newer = byId.get(entry.id);
		if (newer) byId.delete(entry.id);
		return newer ? {
			...newer,
			place: entry.place,
			at: entry.at
		} : entry;
	}), ...byId.values()];
	const isFolded = all.length > MOST;
	const shown = !isFolded ? all : isAtStart ? all.slice(0, MOST) : all.slice(-1500);
	F$1(() => {
		const root = document.documentElement;
		if (before.current) {
			window.scrollTo(0, before.current.top + root.scrollHeight - before.current.height);
			before.current = void 0;
		} else if (isAtEnd.current && !isAtStart && known.last > 0) window.scrollTo(0, root.scrollHeight);
	});
	const earlier = () => older(() => {
		before.current = {
			height: document.documentElement.scrollHeight,
			top: window.scrollY
		};
		setAtStart(true);
	});
	const toEnd = () => {
		setAtStart(false);
		isAtEnd.current = true;
	};
	let speaker = "";
	return /* @__PURE__ */ a("section", {
		class: "conversation",
		"aria-label": "Conversation",
		children: [
			why && /* @__PURE__ */ a("p", {
				class: "warning",
				role: "alert",
				children: why
			}),
			known.last === 0 && !why && /* @__PURE__ */ a("p", {
				class: "dim",
				children: "Asking the supervisor …"
			}),
			known.hasMore && (!isFolded || isAtStart) && /* @__PURE__ */ a("button", {
				type: "button",
				onClick: () => void earlier(),
				children: "Show what was before"
			}),
			isFolded && !isAtStart && /* @__PURE__ */ a("button", {
				type: "button",
				onClick: () => setAtStart(true),
				children: [
					"Show the ",
					(all.length - MOST).toLocaleString(),
					" before these"
				]
			}),
			/* @__PURE__ */ a("div", {
				class: "entries",
				role: "log",
				"aria-live": "off",
				"aria-label": "What was said and done",
				children: shown.map((entry) => {
					const by = entry.kind === "text" ? known.roles[entry.message_id ?? ""] ?? "assistant" : speaker;
					const isNew = entry.kind === "text" && by !== speaker;
					speaker = by;
					return /* @__PURE__ */ a(EntryView, {
						entry,
						by,
						isNew
					}, entry.id);
				})
			}),
			isFolded && isAtStart && /* @__PURE__ */ a("button", {
				type: "button",
				onClick: toEnd,
				children: [
					"To the latest (",
					(all.length - MOST).toLocaleString(),
					" more)"
				]
			})
		]
	});
}
// src/nouns/session.tsx
function SessionScreen({ id }) {
	A$1(() => {
		follow([`session?id=${encodeURIComponent(id)}`], id);
		return () => follow([]);
	}, [id]);
	useKeys();
	const all = session.value;
	const session$1 = all?.get("session");
	const isOther = session$1 !== void 0 && session$1.id !== id;
	if (!all || isOther || !session$1) return /* @__PURE__ */ a($, { children: [/* @__PURE__ */ a(Back, {}), all && !isOther ? /* @__PURE__ */ a("p", {
		class: "warning",
		children: [
			"There is no session ",
			/* @__PURE__ */ a(Visible, { text: id }),
			"."
		]
	}) : /* @__PURE__ */ a("p", {
		class: "dim",
		children: "Asking the supervisor …"
	})] });
	const helpers = [...all].filter(([key]) => key.startsWith("helper/")).map(([, row]) => row);
	const commands = all.get("commands") ?? [];
	return /* @__PURE__ */ a($, { children: [
		/* @__PURE__ */ a(Back, {}),
		/* @__PURE__ */ a(Head$1, { session: session$1 }),
		/* @__PURE__ */ a(Waiting, {
			all,
			session: session$1,
			helpers
		}),
		/* @__PURE__ */ a(Facts, { session: session$1 }),
		/* @__PURE__ */ a(Actions, { session: session$1 }, `actions ${id}`),
		/* @__PURE__ */ a(Helpers, {
			root: id,
			helpers
		}),
		/* @__PURE__ */ a(Queue, { commands }),
		/* @__PURE__ */ a(ConversationView, {
			id,
			events: session$1.events
		}, id),
		/* @__PURE__ */ a(Composer, { session: session$1 }, `composer ${id}`),
		/* @__PURE__ */ a(Terminal, { lines: lines(session$1) })
	] });
}
function Back() {
	return /* @__PURE__ */ a("a", {
		href: href("fleet"),
		class: "back",
		children: "Fleet"
	});
}
function lines(session) {
	const id = quoted(session.id);
	const all = [
		`halctl sessions attach ${id}`,
		`halctl sessions logs ${id}`,
		`halctl sessions prompt ${id} 'TEXT'`
	];
	const pause = session.marks?.paused ? `halctl sessions unpause ${id}` : `halctl sessions pause ${id}`;
	return [
		...all,
		pause,
		`halctl sessions abort ${id}`,
		`halctl sessions kill ${id}`
	];
}
function Head$1({ session }) {
	return /* @__PURE__ */ a("header", {
		class: "session-head",
		children: [
			/* @__PURE__ */ a("h1", {
				tabIndex: -1,
				children: /* @__PURE__ */ a(Name, { text: session.title || session.id })
			}),
			/* @__PURE__ */ a("p", { children: [
				/* @__PURE__ */ a(StatePill, {
					status: session.status,
					lastKnown: session.last_known,
					isPaused: !!session.marks?.paused
				}),
				" ",
				/* @__PURE__ */ a(Ago, {
					at: session.since,
					words: ""
				}),
				session.marks?.paused && /* @__PURE__ */ a("span", {
					class: "dim",
					children: [
						" ",
						"paused by ",
						/* @__PURE__ */ a(Visible, { text: session.marks.paused.by })
					]
				})
			] }),
			session.parent_id && /* @__PURE__ */ a("p", { children: [
				"a helper of",
				" ",
				/* @__PURE__ */ a("a", {
					href: href("sessions", session.parent_id),
					children: /* @__PURE__ */ a(Name, { text: session.parent_id })
				})
			] }),
			session.error && /* @__PURE__ */ a("p", {
				class: "warning",
				children: /* @__PURE__ */ a(Visible, { text: session.error.slice(0, 2e3) })
			}),
			session.retry && /* @__PURE__ */ a("p", {
				class: "warning",
				children: [
					"Attempt ",
					session.retry.attempt,
					" comes at ",
					/* @__PURE__ */ a(At, { at: session.retry.next }),
					": ",
					/* @__PURE__ */ a(Visible, { text: session.retry.message.slice(0, 1e3) })
				]
			})
		]
	});
}
/** What it and its helpers wait for, with the answer in place: the same card as under *Needs you*, also where more wait than stand there. */
function Waiting({ all, session, helpers }) {
	const its = /* @__PURE__ */ new Set([session.id, ...helpers.map((helper) => helper.id)]);
	const known = new Map([...all].filter(([key]) => key.startsWith("approval/")).map(([, one]) => [one.id, one]));
	for (const one of approvals.value.values()) if (its.has(one.session_id) && one.receipt.length >= (known.get(one.id)?.receipt.length ?? 0)) known.set(one.id, one);
	return /* @__PURE__ */ a($, { children: [...known.values()].filter((one) => wantsAnswer(one) || one.state === "answered" || one.state === "reached").map((one) => /* @__PURE__ */ a(Card, {
		approval: one,
		level: "h2"
	}, one.id)) });
}
function Facts({ session }) {
	const { context, model, token_kinds: tokens } = session;
	const done = session.todo?.filter((item) => item.status === "completed" || item.status === "cancelled").length ?? 0;
	const fact = (name, value) => /* @__PURE__ */ a("div", { children: [/* @__PURE__ */ a("dt", { children: name }), /* @__PURE__ */ a("dd", { children: value })] });
	return /* @__PURE__ */ a("section", {
		class: "panel about",
		"aria-label": "About it",
		children: [
			/* @__PURE__ */ a("dl", {
				class: "facts",
				children: [
					fact("project", /* @__PURE__ */ a(Name, { text: session.project })),
					fact("node", /* @__PURE__ */ a(Name, { text: session.node_id })),
					fact("in", /* @__PURE__ */ a("code", { children: /* @__PURE__ */ a(Visible, { text: session.directory }) })),
					fact("backend", /* @__PURE__ */ a(Visible, { text: session.backend })),
					model && fact("model", /* @__PURE__ */ a(Visible, { text: `${model.provider}/${model.id}` })),
					fact("cost", /* @__PURE__ */ a(Money, { micros: session.cost_micros })),
					fact("tokens", short(session.tokens)),
					context && fact("context", /* @__PURE__ */ a(Bar, {
						used: context.used,
						limit: context.limit,
						of: "context"
					})),
					fact("began", /* @__PURE__ */ a(At, { at: session.started_at })),
					fact("last event", /* @__PURE__ */ a(Ago, { at: session.active_at }))
				]
			}),
			/* @__PURE__ */ a("details", { children: [/* @__PURE__ */ a("summary", { children: "Cost and tokens" }), /* @__PURE__ */ a("dl", {
				class: "facts",
				children: [
					fact("its own", /* @__PURE__ */ a(Money, { micros: session.own_cost_micros })),
					fact("input", short(tokens.input)),
					fact("output", short(tokens.output)),
					fact("reasoning", short(tokens.reasoning)),
					fact("from cache", short(tokens.cache_read)),
					fact("to cache", short(tokens.cache_write)),
					!!session.unreported_calls && fact("calls of which nothing was reported", String(session.unreported_calls)),
					!!session.unpriced_tokens && fact("tokens without a known price", short(session.unpriced_tokens)),
					!!session.cost_before_micros && fact("before this supervisor knew it", dollars(session.cost_before_micros)),
					fact("compactions", String(session.compactions))
				]
			})] }),
			session.todo && session.todo.length > 0 && /* @__PURE__ */ a("details", { children: [/* @__PURE__ */ a("summary", { children: [
				"To do: ",
				done,
				" of ",
				session.todo.length
			] }), /* @__PURE__ */ a("ul", {
				class: "todo-list",
				children: session.todo.slice(0, 200).map((item, index) => /* @__PURE__ */ a("li", {
					class: item.status,
					children: [
						/* @__PURE__ */ a("span", {
							"aria-hidden": "true",
							children: item.status === "completed" ? "☑" : item.status === "in_progress" ? "▶" : item.status === "cancelled" ? "✕" : "☐"
						}),
						" ",
						/* @__PURE__ */ a(Visible, { text: item.content }),
						" ",
						/* @__PURE__ */ a("span", {
							class: "unseen",
							children: [
								"(",
								item.status,
								")"
							]
						})
					]
				}, index))
			})] }),
			/* @__PURE__ */ a("p", {
				class: "dim id",
				children: /* @__PURE__ */ a("code", { children: /* @__PURE__ */ a(Visible, { text: session.id }) })
			})
		]
	});
}
/** The tree of those that work for it. */
function Helpers({ root, helpers }) {
	if (helpers.length === 0) return null;
	const below = (id, depth) => /* @__PURE__ */ a("ul", {
		class: "helpers",
		children: helpers.filter((helper) => helper.parent_id === id).map((helper) => /* @__PURE__ */ a("li", { children: [
			/* @__PURE__ */ a(StatePill, {
				status: helper.status,
				lastKnown: helper.last_known
			}),
			" ",
			/* @__PURE__ */ a("a", {
				href: href("sessions", helper.id),
				children: /* @__PURE__ */ a(Name, { text: helper.title || helper.id })
			}),
			" ",
			/* @__PURE__ */ a("span", {
				class: "dim",
				children: [
					/* @__PURE__ */ a(Money, { micros: helper.cost_micros }),
					" ",
					helper.why && /* @__PURE__ */ a(Visible, { text: helper.why })
				]
			}),
			depth < 8 && helpers.some((other) => other.parent_id === helper.id) && below(helper.id, depth + 1)
		] }, helper.id))
	});
	return /* @__PURE__ */ a("details", {
		class: "panel",
		open: helpers.length <= 6,
		children: [/* @__PURE__ */ a("summary", { children: [
			"Helpers (",
			helpers.length,
			")"
		] }), below(root, 0)]
	});
}
/** What anybody has asked of it that is not over. */
function Queue({ commands }) {
	if (commands.length === 0) return null;
	return /* @__PURE__ */ a("ul", {
		class: "queue",
		"aria-label": "Commands on their way",
		children: commands.map((one) => /* @__PURE__ */ a("li", { children: [
			/* @__PURE__ */ a("code", { children: one.verb }),
			" by ",
			/* @__PURE__ */ a(Visible, { text: one.actor }),
			": ",
			one.state,
			", ",
			/* @__PURE__ */ a(Ago, { at: one.created_at })
		] }, one.command_id))
	});
}
function useKeys() {
	A$1(() => {
		const step = (by) => {
			const turns = [...document.querySelectorAll(".said.user")];
			const tops = turns.map((turn) => turn.getBoundingClientRect().top);
			const at = by > 0 ? tops.findIndex((top) => top > 90) : tops.findLastIndex((top) => top < 40);
			turns[at]?.scrollIntoView({ block: "start" });
			turns[at]?.focus({ preventScroll: true });
		};
		const tools = () => {
			const all = [...document.querySelectorAll("details.tool")];
			const isAnyOpen = all.some((one) => one.open);
			for (const one of all) one.open = !isAnyOpen;
		};
		ofScreen.value = [
			{
				key: "i",
				does: "write a prompt",
				act: () => document.querySelector(".composer textarea")?.focus()
			},
			{
				key: "[",
				does: "prompt before",
				act: () => step(-1)
			},
			{
				key: "]",
				does: "next prompt",
				act: () => step(1)
			},
			{
				key: "t",
				does: "open or close all tools",
				act: tools
			}
		];
		return () => {
			ofScreen.value = [];
		};
	}, []);
}
// src/app.tsx
var TITLES = {
	"needs-you": "Needs you",
	fleet: "Fleet",
	sessions: "Session",
	nodes: "Nodes",
	alerts: "Alerts",
	money: "Money",
	audit: "Audit",
	halt: "Halt",
	me: "Me",
	nothing: "Not found"
};
/** The screens of the menu; those that a thumb needs at three in the morning are always there, the others behind *More*. */
var SCREENS = [
	{
		name: "needs-you",
		key: "g n"
	},
	{
		name: "fleet",
		key: "g f"
	},
	{
		name: "nodes",
		key: "g o",
		isRest: true
	},
	{
		name: "alerts",
		key: "g a",
		isRest: true
	},
	{
		name: "money",
		key: "g c",
		isRest: true
	},
	{
		name: "audit",
		key: "g u",
		isRest: true,
		least: "admin"
	},
	{
		name: "halt",
		key: "g h"
	},
	{
		name: "me",
		key: "g m",
		isRest: true
	}
];
/** Those that whoever is here may see. */
var menu = () => SCREENS.filter(({ least }) => !least || may(me.value?.role, least));
function App() {
	if (me.value === void 0) return /* @__PURE__ */ a(Waiting$1, {});
	if (me.value === null) return /* @__PURE__ */ a(Login, {});
	return /* @__PURE__ */ a(Inside, {});
}
function Inside() {
	const main = T$1(null);
	const here = screen.value;
	A$1(start, []);
	useTitle();
	A$1(() => {
		ofAll.value = [...menu().map(({ name, key }) => ({
			key,
			does: `go to ${TITLES[name]}`,
			act: () => go(href(name))
		})), {
			key: "?",
			does: "show the keys",
			act: () => help.current?.showModal()
		}];
	}, []);
	const help = T$1(null);
	const first = T$1(true);
	A$1(() => {
		if (!first.current) main.current?.querySelector("h1")?.focus({ preventScroll: true });
		first.current = false;
	}, [
		here.name,
		"approval" in here ? here.approval : "",
		"session" in here ? here.session : "",
		"node" in here ? here.node : "",
		"alert" in here ? here.alert : ""
	]);
	return /* @__PURE__ */ a($, { children: [
		/* @__PURE__ */ a("a", {
			class: "skip",
			href: "#main",
			onClick: (event) => {
				event.preventDefault();
				main.current?.querySelector("h1")?.focus();
			},
			children: "Skip to the content"
		}),
		/* @__PURE__ */ a(Head, {
			here: here.name,
			help: () => help.current?.showModal()
		}),
		/* @__PURE__ */ a(Banners, {}),
		/* @__PURE__ */ a("main", {
			id: "main",
			ref: main,
			class: here.name,
			children: [
				here.name === "needs-you" && /* @__PURE__ */ a(NeedsYou, { approval: here.approval }),
				here.name === "fleet" && /* @__PURE__ */ a(FleetScreen, {}),
				here.name === "sessions" && /* @__PURE__ */ a(SessionScreen, { id: here.session }),
				here.name === "nodes" && /* @__PURE__ */ a(NodesScreen, { node: here.node }),
				here.name === "alerts" && /* @__PURE__ */ a(AlertsScreen, { alert: here.alert }),
				here.name === "money" && /* @__PURE__ */ a(MoneyScreen, {}),
				here.name === "audit" && /* @__PURE__ */ a(AuditScreen, {}),
				here.name === "halt" && /* @__PURE__ */ a(HaltScreen, {}),
				here.name === "me" && /* @__PURE__ */ a(MeScreen, {}),
				here.name === "nothing" && /* @__PURE__ */ a(Nothing, { path: here.path })
			]
		}),
		/* @__PURE__ */ a(Voice, {}),
		/* @__PURE__ */ a("dialog", {
			ref: help,
			class: "help",
			"aria-labelledby": "help-title",
			children: [
				/* @__PURE__ */ a("h2", {
					id: "help-title",
					children: "Keys"
				}),
				/* @__PURE__ */ a("dl", { children: [...ofScreen.value, ...ofAll.value].map((one) => /* @__PURE__ */ a("div", { children: [/* @__PURE__ */ a("dt", { children: /* @__PURE__ */ a("kbd", { children: one.key }) }), /* @__PURE__ */ a("dd", { children: one.does })] }, one.key)) }),
				/* @__PURE__ */ a("p", {
					class: "dim",
					children: areOn.value ? "They never act while you type." : "They are switched off: see Me."
				}),
				/* @__PURE__ */ a("form", {
					method: "dialog",
					children: /* @__PURE__ */ a("button", {
						type: "submit",
						children: "Close"
					})
				})
			]
		})
	] });
}
/** The tab tells how many wait, also while nobody looks at it. */
function useTitle() {
	useSignalEffect(() => {
		const count = needsYou.value;
		const of = screen.value.name === "sessions" ? session.value?.get("session") : void 0;
		document.title = `${count > 0 ? `(${count}) ` : ""}${of?.title.slice(0, 80) || TITLES[screen.value.name]} – HAL`;
		const icon = document.querySelector("link[rel=icon]");
		if (icon) icon.href = count > 0 ? alarmed : icon.dataset["calm"] ?? (icon.dataset["calm"] = icon.href);
		navigator.setAppBadge?.(count).catch(() => void 0);
	});
	A$1(() => {
		let before = needsYou.peek();
		return x$1(() => {
			const count = needsYou.value;
			if (count > before) say(count === 1 ? "One session needs you" : `${count} sessions need you`);
			before = count;
		});
	}, []);
	A$1(() => x$1(() => {
		if (isLost.value) cry("The connection to the supervisor is lost");
	}), []);
}
/** The icon with a lamp on. */
var alarmed = "data:image/svg+xml," + encodeURIComponent("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 32 32\"><rect x=\"1\" y=\"1\" width=\"30\" height=\"30\" rx=\"8\" fill=\"#17181c\"/><circle cx=\"16\" cy=\"16\" r=\"9.5\" fill=\"none\" stroke=\"#54565e\" stroke-width=\"2\"/><circle cx=\"16\" cy=\"16\" r=\"5.5\" fill=\"#d8382f\"/><circle cx=\"25\" cy=\"7\" r=\"7\" fill=\"#ffb224\"/></svg>");
function Head({ here, help }) {
	const link = (name, label, isRest) => /* @__PURE__ */ a("a", {
		href: href(name),
		class: `${name}${isRest ? " rest" : ""}`,
		"aria-current": here === name || here === "sessions" && name === "fleet" ? "page" : void 0,
		children: label
	}, name);
	const count = needsYou.value;
	return /* @__PURE__ */ a("header", {
		class: "head",
		children: [
			/* @__PURE__ */ a("a", {
				class: "brand",
				href: href("needs-you"),
				"aria-label": "HAL, to Needs you",
				children: [/* @__PURE__ */ a("img", {
					src: "assets/icon.svg",
					alt: "",
					width: "26",
					height: "26"
				}), /* @__PURE__ */ a("span", { children: "HAL" })]
			}),
			/* @__PURE__ */ a("nav", {
				"aria-label": "Screens",
				children: [menu().map(({ name, isRest }) => link(name, /* @__PURE__ */ a($, { children: [TITLES[name], name === "needs-you" && count > 0 && /* @__PURE__ */ a("span", {
					class: "count",
					children: count
				})] }), isRest)), /* @__PURE__ */ a(More, {
					here,
					link
				})]
			}),
			/* @__PURE__ */ a(Counts, {}),
			/* @__PURE__ */ a(State, {}),
			/* @__PURE__ */ a("button", {
				type: "button",
				class: "quiet helper",
				onClick: help,
				"aria-label": "Keys",
				title: "Keys (?)",
				children: "?"
			})
		]
	});
}
/** The screens that a phone's bar has no room for. */
function More({ here, link }) {
	const place = T$1(null);
	A$1(() => {
		if (place.current) place.current.open = false;
	}, [here]);
	const rest = menu().filter((one) => one.isRest);
	return /* @__PURE__ */ a("details", {
		class: "more",
		ref: place,
		children: [/* @__PURE__ */ a("summary", {
			class: rest.some((one) => one.name === here) ? "here" : "",
			children: "More"
		}), /* @__PURE__ */ a("div", { children: rest.map(({ name }) => link(name, TITLES[name])) })]
	});
}
function Counts() {
	const known = chrome.value;
	if (!known) return null;
	const { sessions, nodes, nodes_online, alerts } = known;
	return /* @__PURE__ */ a("p", {
		class: `counts${isLost.value ? " stale" : ""}`,
		children: [
			/* @__PURE__ */ a("a", {
				href: `${href("fleet")}?status=running`,
				children: [/* @__PURE__ */ a("b", { children: sessions["running"] ?? 0 }), " running"]
			}),
			/* @__PURE__ */ a("a", {
				href: href("nodes"),
				class: nodes_online < nodes ? "attention" : "",
				children: [
					/* @__PURE__ */ a("b", { children: [
						nodes_online,
						"/",
						nodes
					] }),
					" ",
					"nodes"
				]
			}),
			alerts > 0 && /* @__PURE__ */ a("a", {
				href: href("alerts"),
				class: "attention",
				children: [
					/* @__PURE__ */ a("b", { children: alerts }),
					" ",
					alerts === 1 ? "alert" : "alerts"
				]
			})
		]
	});
}
/** How the connection is. It is never green by itself: a frame of the supervisor has made it so. */
function State() {
	const { value } = connection;
	if (value.state === "live") return /* @__PURE__ */ a("p", {
		class: "state live",
		title: `last word at ${clock(heardAt.value)}`,
		children: [
			/* @__PURE__ */ a("span", {
				"aria-hidden": "true",
				children: "●"
			}),
			" ",
			tookAnew.value ? "picture taken anew" : "live"
		]
	});
	return isLost.value ? /* @__PURE__ */ a("p", {
		class: "state lost",
		children: [/* @__PURE__ */ a("span", {
			"aria-hidden": "true",
			children: "▲"
		}), " offline"]
	}) : /* @__PURE__ */ a("p", {
		class: "state",
		children: [/* @__PURE__ */ a("span", {
			"aria-hidden": "true",
			children: "○"
		}), " connecting"]
	});
}
function Banners() {
	const known = chrome.value;
	const { value } = connection;
	const isOther = serverBuild.value !== "" && serverBuild.value !== "670782110c71d0ab";
	return /* @__PURE__ */ a("section", {
		class: "banners",
		"aria-label": "Notices",
		children: [
			isLost.value && value.state === "offline" && /* @__PURE__ */ a("p", {
				class: "banner lost",
				role: "alert",
				children: [
					/* @__PURE__ */ a("b", { children: [
						"Not connected since ",
						clock(value.since),
						"."
					] }),
					" What you see is as of ",
					clock(heardAt.value || value.since),
					". Nothing can be answered until the supervisor is reached again; this page keeps trying."
				]
			}),
			known?.trouble && /* @__PURE__ */ a("p", {
				class: "banner lost",
				role: "alert",
				children: [
					/* @__PURE__ */ a("b", { children: "The supervisor cannot store anything:" }),
					" ",
					/* @__PURE__ */ a(Visible, { text: known.trouble }),
					". Answers do not count until it can."
				]
			}),
			known?.halts.map((halt) => /* @__PURE__ */ a("p", {
				class: "banner halted",
				children: [
					/* @__PURE__ */ a("b", { children: halt.project ? `Project ${halt.project} is halted` : "Everything is halted" }),
					" by ",
					/* @__PURE__ */ a(Visible, { text: halt.by }),
					", ",
					/* @__PURE__ */ a(Ago, { at: halt.at }),
					".",
					" ",
					/* @__PURE__ */ a("a", {
						href: href("halt"),
						children: "Has all stopped?"
					})
				]
			}, halt.project)),
			isOther && /* @__PURE__ */ a("p", {
				class: "banner",
				children: [
					"The supervisor has another version of this page.",
					" ",
					/* @__PURE__ */ a("button", {
						type: "button",
						class: "quiet",
						onClick: () => location.reload(),
						children: "Reload"
					})
				]
			})
		]
	});
}
function Nothing({ path }) {
	return /* @__PURE__ */ a($, { children: [/* @__PURE__ */ a("h1", {
		tabIndex: -1,
		children: "Not found"
	}), /* @__PURE__ */ a("p", { children: [
		"There is no screen ",
		/* @__PURE__ */ a("code", { children: path }),
		". ",
		/* @__PURE__ */ a("a", {
			href: href("needs-you"),
			children: "Needs you"
		})
	] })] });
}
// src/main.tsx
dress();
watch$1();
watch$3();
watch$2();
var place = document.getElementById("app");
if (place) {
	place.replaceChildren();
	Q(/* @__PURE__ */ a(App, {}), place);
}
begin();
