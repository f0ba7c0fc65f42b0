// The closed table of S1: one row a schema field, with the rule that says what of a change acts at once and who accepts
// the rest. meet.ts has no rule of its own; a schema field without a row fails the build.

import {
  APPROVAL_LEVELS,
  type ApprovalLevel,
  DELIVERIES,
  type Delivery,
  type Details,
  type IdentityKey,
  RISKS,
  type Risk,
  type ToolMcp,
} from './manifest.ts'
import { type PathRule, ruleText } from './path-rule.ts'

/** What a change of such a field is, and the part of it that two values share. */
export type Rule<T> = {
  readonly is: string
  /** What is in force at once: never more than `inForce`, never more than `proposed`. */
  meet(inForce: T, proposed: T): T
}

/** Another value is another thing: its document goes away and a new one comes. */
const identity: Rule<string> = { is: 'identity', meet: (inForce) => inForce }
/** Decides nothing, so the proposed value is in force at once. */
const neutral: Rule<unknown> = { is: 'neutral', meet: (_, proposed) => proposed }
/** Neither value is less than the other: any change is a widening. */
const unordered: Rule<unknown> = { is: 'any change is a widening', meet: (inForce) => inForce }
const fewer: Rule<readonly string[]> = {
  is: 'removed is a narrowing, added a widening',
  meet: (inForce, proposed) => inForce.filter((item) => proposed.includes(item)),
}
const fewerKeys: Rule<readonly IdentityKey[]> = {
  is: 'removed is a narrowing, added or changed a widening',
  meet: (inForce, proposed) =>
    inForce.filter((key) => proposed.some(({ kid, alg }) => kid === key.kid && alg === key.alg)),
}
/** One method of one path each, so that a path taken out of a rule is a narrowing and the rest of it stays. */
const fewerRules: Rule<readonly PathRule[]> = {
  is: 'removed is a narrowing, added a widening',
  meet: (inForce, proposed) => {
    const kept = new Set(proposed.map(ruleText))
    return inForce.filter((rule) => kept.has(ruleText(rule)))
  },
}
/** A tool that is taken out goes at once; one under another scope, or held by other arguments, stays as it is until accepted. */
const fewerMappings: Rule<ToolMcp['tools']> = {
  is: 'removed is a narrowing, added or changed a widening',
  meet: (inForce, proposed) =>
    Object.fromEntries(Object.entries(inForce).filter(([name]) => Object.hasOwn(proposed, name))),
}
/** A new key narrows, fewer values narrow; null: no value is left of some key, so nothing is allowed at all. */
const tighter: Rule<Details | null> = {
  is: 'tightened is a narrowing, loosened a widening',
  meet: (inForce, proposed) => (inForce === null || proposed === null ? null : sharedDetails(inForce, proposed)),
}
const stricter: Rule<ApprovalLevel> = { is: 'raised is a narrowing, lowered a widening', meet: later(APPROVAL_LEVELS) }
const riskier: Rule<Risk> = { is: 'raised is a narrowing, lowered a widening', meet: later(RISKS) }
const shorter: Rule<number> = { is: 'shortened is a narrowing, lengthened a widening', meet: (a, b) => Math.min(a, b) }
/** A UTC day; null is never. */
const earlier: Rule<string | null> = {
  is: 'earlier is a narrowing, later or none a widening',
  meet: (a, b) => (a === null || (b !== null && b < a) ? b : a),
}
const towardsProxy: Rule<Delivery> = {
  is: 'towards proxy is a narrowing, towards inline a widening',
  meet: later(DELIVERIES),
}
const stopped: Rule<'active' | 'decommissioned'> = {
  is: 'decommissioned is a narrowing, active again a widening',
  meet: (a, b) => (a === 'decommissioned' ? a : b),
}

export type Acceptor = 'nobody' | 'owner of agent' | 'owner of tool' | 'member of team' | 'admin'
export type AuthorityRow<T = unknown> = { readonly rule: Rule<T>; readonly acceptedBy: Acceptor; readonly why: string }

const row = <T>(rule: Rule<T>, acceptedBy: Acceptor, why: string): AuthorityRow<T> => ({ rule, acceptedBy, why })

const head = {
  apiVersion: row(identity, 'nobody', 'the format, not what it says'),
  kind: row(identity, 'nobody', 'names are unique per kind; another kind is another thing (S4)'),
  name: row(identity, 'nobody', 'a rename is a removal and a new document; no grant carries over (S4)'),
  labels: row(neutral, 'nobody', 'for people and searches'),
}

/** Who accepts an access also depends on the agent being new, new to the tool, and on high risk: needs.ts. */
const access = {
  tool: row(identity, 'owner of agent', 'access on another tool is another slice'),
  scopes: row(fewer, 'owner of agent', 'what may be done'),
  details: row(tighter, 'owner of agent', 'within what it may be done'),
  approval: row(stricter, 'owner of agent', 'who is asked first'),
  grantFor: row(shorter, 'owner of agent', 'how long one approval lasts'),
  tokenTtl: row(shorter, 'owner of agent', 'how long a token lives'),
  delivery: row(towardsProxy, 'owner of agent', 'how near a token comes to the model'),
}

export const AUTHORITY_TABLE = {
  'Agent.apiVersion': head.apiVersion,
  'Agent.kind': head.kind,
  'Agent.metadata.name': head.name,
  'Agent.metadata.labels{}': head.labels,
  'Agent.spec.purpose': row(neutral, 'nobody', 'for people'),
  'Agent.spec.owners': row(fewer, 'owner of agent', 'they approve, and answer for it'),
  'Agent.spec.identity[].publicKeyFile': row(
    fewerKeys,
    'owner of agent',
    'who can be the agent; the key decides, not the file',
  ),
  'Agent.spec.identity[].jwks.keys': row(fewerKeys, 'owner of agent', 'who can be the agent'),
  'Agent.spec.roles': row(neutral, 'nobody', 'judged by the access that a role gives, slice by slice'),
  'Agent.spec.access[].tool': access.tool,
  'Agent.spec.access[].scopes': access.scopes,
  'Agent.spec.access[].details{}': access.details,
  'Agent.spec.access[].approval': access.approval,
  'Agent.spec.access[].grantFor': access.grantFor,
  'Agent.spec.access[].tokenTtl': access.tokenTtl,
  'Agent.spec.access[].delivery': access.delivery,
  'Agent.spec.reviewBy': row(earlier, 'owner of agent', 'access ends after this day'),
  'Agent.spec.state': row(stopped, 'owner of agent', 'stops the agent at once (S4)'),
  'Tool.apiVersion': head.apiVersion,
  'Tool.kind': head.kind,
  'Tool.metadata.name': head.name,
  'Tool.metadata.labels{}': head.labels,
  'Tool.spec.owners': row(fewer, 'owner of tool', 'they accept first access and high risk'),
  'Tool.spec.category': row(unordered, 'admin', 'what the installation is connected to'),
  'Tool.spec.resource': row(unordered, 'admin', "the tokens' audience; its grants end when a change is accepted"),
  'Tool.spec.scopes{}.description': row(neutral, 'nobody', 'for people and models'),
  'Tool.spec.scopes{}.risk': row(riskier, 'owner of tool', 'whether its owner is asked'),
  'Tool.spec.scopes{}.approval': row(stricter, 'owner of tool', 'the least that every access is asked for'),
  'Tool.spec.scopes{}.allow[].methods': row(fewerRules, 'admin', 'what it is through the proxy'),
  'Tool.spec.scopes{}.allow[].paths': row(fewerRules, 'admin', 'what it is through the proxy'),
  'Tool.spec.scopes{}.allow[].query{}': row(fewerRules, 'admin', 'who is held to what, through the proxy'),
  'Tool.spec.details{}.description': row(neutral, 'nobody', 'for people and models'),
  'Tool.spec.details{}.enforcedBy': row(unordered, 'admin', 'who holds an agent to its details'),
  'Tool.spec.token.alg': row(unordered, 'admin', 'its grants end when a change is accepted'),
  'Tool.spec.token.maxTtl': row(shorter, 'owner of tool', 'how long any of its tokens lives'),
  'Tool.spec.token.verifiedBy': row(unordered, 'admin', 'when a revocation counts as confirmed (S15)'),
  'Tool.spec.token.leeway': row(unordered, 'admin', 'how long an expired token may still be accepted'),
  'Tool.spec.target.type': row(unordered, 'admin', 'what the broker is connected to'),
  'Tool.spec.target.url': row(unordered, 'admin', "where the admin's secret goes; its grants end on acceptance (S5)"),
  'Tool.spec.target.secret': row(unordered, 'admin', 'which secret goes there (S5)'),
  'Tool.spec.target.rights{}': row(unordered, 'admin', 'what a scope is in the tool; gone with its scope'),
  'Tool.spec.target.reconcile.ghosts': row(unordered, 'admin', 'what is removed from the tool without being asked'),
  'Tool.spec.target.reconcile.others': row(unordered, 'admin', 'what is told of the accounts of others'),
  'Tool.spec.target.reconcile.overScoped': row(unordered, 'admin', 'whether rights added by hand stay'),
  'Tool.spec.target.reconcile.exempt': row(unordered, 'admin', 'whose accounts nobody is told of'),
  'Tool.spec.target.drill.every': row(unordered, 'admin', 'canary accounts are made in the tool, or no longer proved'),
  'Tool.spec.target.drill.scope': row(unordered, 'admin', 'what a canary may do in the tool'),
  'Tool.spec.target.drill.details{}': row(unordered, 'admin', 'what a canary may do it to'),
  'Tool.spec.target.recipe': row(unordered, 'admin', 'how it is spoken to'),
  'Tool.spec.target.recipeFile': row(
    unordered,
    'admin',
    'how it is spoken to, and what is believed of it; what the file says decides, not where it lies (S3)',
  ),
  'Tool.spec.target.values{}': row(unordered, 'admin', 'what is said to it'),
  'Tool.spec.upstream.url': row(
    unordered,
    'admin',
    'where calls and their secret go; its grants end on acceptance (S5)',
  ),
  'Tool.spec.upstream.secret': row(unordered, 'admin', 'which secret goes there (S5)'),
  'Tool.spec.upstream.header': row(unordered, 'admin', 'where the secret stands'),
  'Tool.spec.upstream.prefix': row(unordered, 'admin', 'how the secret is presented'),
  'Tool.spec.upstream.pass': row(fewer, 'admin', 'what an agent says to the tool besides its call'),
  'Tool.spec.upstream.maxBody': row(shorter, 'admin', 'how much is taken at once'),
  'Tool.spec.mcp.url': row(unordered, 'admin', 'where calls and their secret go; its grants end on acceptance (S5)'),
  'Tool.spec.mcp.command': row(
    unordered,
    'admin',
    'which program of the operator runs; its grants end on acceptance (S5)',
  ),
  'Tool.spec.mcp.secret': row(unordered, 'admin', 'which secret goes there (S5)'),
  'Tool.spec.mcp.header': row(unordered, 'admin', 'where the secret stands'),
  'Tool.spec.mcp.prefix': row(unordered, 'admin', 'how the secret is presented'),
  'Tool.spec.mcp.tools{}': row(fewerMappings, 'admin', 'which of its tools agents may be given, under which scope'),
  'Role.apiVersion': head.apiVersion,
  'Role.kind': head.kind,
  'Role.metadata.name': head.name,
  'Role.metadata.labels{}': head.labels,
  'Role.spec.access[].tool': access.tool,
  'Role.spec.access[].scopes': access.scopes,
  'Role.spec.access[].details{}': access.details,
  'Role.spec.access[].approval': access.approval,
  'Role.spec.access[].grantFor': access.grantFor,
  'Role.spec.access[].tokenTtl': access.tokenTtl,
  'Role.spec.access[].delivery': access.delivery,
  'Team.apiVersion': head.apiVersion,
  'Team.kind': head.kind,
  'Team.metadata.name': head.name,
  'Team.metadata.labels{}': head.labels,
  'Team.spec.members': row(fewer, 'member of team', 'they own what the team owns'),
} as const satisfies Record<string, AuthorityRow>

export type AuthorityField = keyof typeof AUTHORITY_TABLE

/** Schema fields without a row and rows without a field: both must be empty. */
export const tableGaps = (
  schemaFields: readonly string[],
): { readonly missing: string[]; readonly stray: string[] } => ({
  missing: schemaFields.filter((field) => !Object.hasOwn(AUTHORITY_TABLE, field)),
  stray: Object.keys(AUTHORITY_TABLE).filter((field) => !schemaFields.includes(field)),
})

function later<T>(order: readonly T[]) {
  return (a: T, b: T): T => (order.indexOf(a) >= order.indexOf(b) ? a : b)
}

function sharedDetails(a: Details, b: Details): Details | null {
  const shared: Record<string, readonly string[]> = {}
  for (const key of [...new Set([...Object.keys(a), ...Object.keys(b)])].sort()) {
    const ofA = Object.hasOwn(a, key) ? a[key] : undefined
    const ofB = Object.hasOwn(b, key) ? b[key] : undefined
    const values = ofA && ofB ? ofA.filter((value) => ofB.includes(value)) : (ofA ?? ofB ?? [])
    if (values.length === 0) return null
    shared[key] = values
  }
  return shared
}
