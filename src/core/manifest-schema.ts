// The shape of each kind of manifest, as this version reads it: one strict schema a kind, from which the parser, the
// editors' JSON Schema and the list of fields (S1: each has a row in the authority table) are made.

import { z } from 'zod'
import { DURATION } from './duration.ts'
import { LEEWAY_SECONDS_MAX, LIFETIME } from './limits.ts'
import type { ManifestKind } from './manifest.ts'
import { RISKS, TARGET_TYPES, TOKEN_ALGS, VERIFIED_BY } from './manifest.ts'
import { PROXY_METHODS } from './path-rule.ts'

export const API_VERSION = 'hallpass/v1'
export const MANIFEST_KINDS = ['Agent', 'Tool', 'Role', 'Team'] as const satisfies readonly ManifestKind[]

export const MAX_TOKEN_TTL_SECONDS = LIFETIME.tokenMax
export const MAX_GRANT_SECONDS = 90 * 86_400
export const MAX_LEEWAY_SECONDS = LEEWAY_SECONDS_MAX
export const DEFAULT_TOKEN_TTL_SECONDS = 300

/** What an agent, tool, role or team may be called. */
export const NAME = /^[a-z0-9]+(-[a-z0-9]+)*$/
/** Ends, not starts, with what RFC 6749 section 3.3 allows: no space, comma, quote or equals sign. */
const SCOPE = /^[A-Za-z0-9][A-Za-z0-9._:/-]*$/
/** A number of bytes. */
const BYTES = /^\d{1,7}(KiB|MiB)$/
/** A tool of an upstream MCP server, and one of its arguments. */
const MCP_TOOL = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/
const ARGUMENT = /^[A-Za-z_][A-Za-z0-9_-]{0,63}$/
const DETAIL_KEY = /^[A-Za-z][A-Za-z0-9_-]*$/
const EMAIL = String.raw`[A-Za-z0-9._%+'-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+`
const OWNER = new RegExp(`^(team/[a-z0-9]+(-[a-z0-9]+)*|${EMAIL})$`)
const MEMBER = new RegExp(`^${EMAIL}$`)
/** Members of an authorization details object that RFC 9396 section 2 gives a meaning of their own. */
const TAKEN_DETAIL_KEYS = new Set(['type', 'locations', 'actions', 'datatypes', 'identifier', 'privileges'])

const text = (max: number) => z.string().min(1, 'must not be empty').max(max, `must be at most ${max} characters`)

const list = <T extends z.ZodType>(item: T, max: number) => z.array(item).max(max, `takes at most ${max} entries`)

const filled = <T extends z.ZodType>(item: T, max: number, what: string) =>
  list(item, max).min(1, `needs at least one ${what}`)

const record = <K extends z.ZodString, V extends z.ZodType>(key: K, value: V, max: number) =>
  z.record(key, value).refine((entries) => Object.keys(entries).length <= max, `takes at most ${max} entries`)

const name = z
  .string()
  .max(63, 'must be at most 63 characters')
  .regex(NAME, 'must be lower-case letters, digits and single hyphens, like triage-bot')

const duration = z.string().regex(DURATION, 'must be a whole number with a unit, like 90s, 5m, 8h or 30d')

const scope = z
  .string()
  .max(128, 'must be at most 128 characters')
  .regex(SCOPE, 'must be letters, digits and . _ : / -, like ticket:read')

const detailKey = z
  .string()
  .max(63, 'must be at most 63 characters')
  .regex(DETAIL_KEY, 'must start with a letter and go on with letters, digits, _ and -')
  .refine((key) => !TAKEN_DETAIL_KEYS.has(key), 'is a name that RFC 9396 keeps for itself: choose another')

const owner = z
  .string()
  .max(254, 'must be at most 254 characters')
  .regex(OWNER, 'must be an e-mail address or team/NAME')
const member = z.string().max(254, 'must be at most 254 characters').regex(MEMBER, 'must be an e-mail address')

const approval = z.enum(['none', 'owner'])

const metadata = z.strictObject({
  name: name.describe('What identifies it, for ever: unique among its kind'),
  labels: record(
    z.string().regex(/^[A-Za-z0-9]([A-Za-z0-9._/-]{0,61}[A-Za-z0-9])?$/, 'must be letters, digits and . _ / -'),
    z.string().max(256, 'must be at most 256 characters'),
    32,
  )
    .default({})
    .describe('For people and searches; they decide nothing'),
})

const accessEntry = z.strictObject({
  tool: name.describe('The name of a Tool'),
  scopes: filled(scope, 64, 'scope').describe('Which of the scopes that the tool declares'),
  details: record(detailKey, filled(text(256), 64, 'value'), 16)
    .default({})
    .describe('Narrows the scopes: all keys must match, any of the values; a key that is absent is unrestricted'),
  approval: approval.default('owner').describe('Who must say yes to a request: none, or one of the owners'),
  grantFor: duration.default('8h').describe('How long one approval lasts, at most 90d'),
  tokenTtl: duration.optional().describe("How long one token lives; 5m, or the tool's maximum where that is shorter"),
  delivery: z
    .enum(['exchange', 'inline', 'proxy'])
    .default('exchange')
    .describe(
      "exchange: the agent's runtime fetches the token; inline: the model sees it in a tool result; proxy: calls go through Hallpass, and the agent never holds the tool's credential",
    ),
})

const access = list(accessEntry, 64)

const head = <K extends ManifestKind>(kind: K) => ({
  apiVersion: z.literal(API_VERSION).describe('The version of this format'),
  kind: z.literal(kind).describe('What the document is'),
  metadata,
})

const owners = filled(owner, 32, 'owner: an e-mail address or team/NAME')

const agentSchema = z.strictObject({
  ...head('Agent'),
  spec: z.strictObject({
    purpose: text(1000).describe('What the agent is for, in words for its owners'),
    owners: owners.describe('Who approves its requests and answers for it: e-mail addresses and team/NAME'),
    identity: list(
      z.strictObject({
        publicKeyFile: text(255)
          .optional()
          .describe('A public key (EC P-256) in a PEM or JWKS file beside the manifest'),
        jwks: z
          .strictObject({
            keys: filled(z.record(z.string(), z.unknown()), 16, 'key').describe('Public JSON Web Keys, EC P-256'),
          })
          .optional()
          .describe('Public keys as a JSON Web Key Set'),
      }),
      16,
    )
      .default([])
      .describe('The keys it proves itself with; any of them will do'),
    roles: list(name, 32).default([]).describe('Roles whose access it has'),
    access: access.default([]).describe('What it may ask for, besides what its roles give'),
    reviewBy: z
      .string()
      .regex(/^\d{4}-\d{2}-\d{2}$/, 'must be a date like "2027-03-01"')
      .optional()
      .describe('The last day (UTC) of its access, unless an owner moves it: a quoted date'),
    state: z.enum(['active', 'decommissioned']).default('active').describe('decommissioned stops the agent at once'),
  }),
})

/** One shape for every type; which fields a type takes is said where a set is linked. Nothing echoes `secret`. */
const target = z.strictObject({
  type: z
    .enum(TARGET_TYPES)
    .describe('none: it verifies our tokens itself; otherwise Hallpass makes accounts in it, one an agent and grant'),
  url: text(500).optional().describe('Where its API is: the secret goes to this origin and to no other'),
  secret: z
    .string()
    .optional()
    .describe(
      "Where its admin's secret is, env:HALLPASS_TOOL_NAME or file:NAME; Redmine: an API key; rt, influxdb: user:password",
    ),
  rights: record(scope, filled(text(256), 64, 'right'), 256)
    .optional()
    .describe("Each scope in the tool's own words; {detail} is filled from the grant, one right a value"),
  reconcile: z
    .strictObject({
      ghosts: z
        .enum(['remove', 'report'])
        .default('remove')
        .describe('What happens to accounts of ours that should not be there'),
      others: z.enum(['report', 'ignore']).default('report').describe('What happens to accounts that are not ours'),
      overScoped: z
        .enum(['heal', 'report'])
        .default('heal')
        .describe('What happens to an account of ours whose rights were changed'),
      exempt: list(text(254), 64).default([]).describe('Accounts of others that are expected; * is any characters'),
    })
    .optional()
    .describe('What is done about what others do in the tool'),
  drill: z
    .strictObject({
      every: duration.describe('How often, 1h to 90d; sooner again after one that failed'),
      scope: scope.optional().describe('What the canary may do; the scope of the lowest risk where it is not said'),
      details: record(detailKey, filled(text(256), 64, 'value'), 16)
        .default({})
        .describe('What its right is narrowed to, where it names details'),
    })
    .optional()
    .describe(
      'Makes a canary account on a schedule, uses it, takes it away and sees it dead; never where it is not said',
    ),
  recipe: text(255).optional().describe('Type http: the name of a recipe that Hallpass ships'),
  recipeFile: text(255)
    .optional()
    .describe(
      'Type http: a recipe of your own in a file beside the manifest, NAME.recipe.yaml, in place of a shipped one',
    ),
  values: record(
    z.string().regex(/^[A-Za-z][A-Za-z0-9_]{0,62}$/, 'must be a letter, then letters, digits and _'),
    z.string().max(1000, 'must be at most 1000 characters'),
    64,
  )
    .optional()
    .describe("Type http: what fills the recipe's templates"),
})

/** One mapping allows each of its methods on each of its paths. */
const allow = list(
  z.strictObject({
    methods: filled(z.enum(PROXY_METHODS), PROXY_METHODS.length, 'method').describe('HTTP methods, each written out'),
    paths: filled(text(200), 64, 'path').describe(
      'Paths of the upstream: name* is any end of a segment, * a whole one, ** all that is below, {detail} a value of the grant',
    ),
    query: record(
      z.string().regex(/^[A-Za-z0-9._-]{1,64}$/, 'must be letters, digits and . _ -'),
      z.string().regex(/^\{[A-Za-z][A-Za-z0-9_-]*\}$/, 'must be a detail in braces, like {namespace}'),
      8,
    )
      .optional()
      .describe('Query parameters that must be there once, each with a value of the grant: {detail}'),
  }),
  32,
)

const upstream = z.strictObject({
  url: text(500).describe('Where calls through Hallpass go; the secret goes to this origin and to no other'),
  secret: z
    .string()
    .optional()
    .describe(
      "The tool's credential that is put in, env:HALLPASS_TOOL_NAME or file:NAME; not for a tool with accounts",
    ),
  header: z
    .string()
    .regex(/^[A-Za-z][A-Za-z0-9-]{0,63}$/, 'must be the name of a header')
    .optional()
    .describe('The header that carries the secret; default Authorization'),
  prefix: z
    .string()
    .regex(/^[A-Za-z0-9=: -]{0,32}$/, 'must be letters, digits, spaces and = : -')
    .optional()
    .describe(
      'What stands before the secret, with its space: "Bearer " (default), "Basic " (user:password is encoded), ""',
    ),
  pass: list(z.string().regex(/^[A-Za-z][A-Za-z0-9-]{0,63}$/, 'must be the name of a header'), 16)
    .default([])
    .describe("Headers of an agent's request that go on besides the usual ones"),
  maxBody: z
    .string()
    .regex(BYTES, 'must be a whole number with a unit, like 512KiB or 10MiB')
    .default('10MiB')
    .describe('The longest body of one request, at most 1024MiB'),
})

/** `create_issue: ticket:comment`, or with what holds the details. */
const mapped = z.union(
  [
    scope,
    z.strictObject({
      scope,
      details: record(detailKey, z.string().regex(ARGUMENT, 'must be the name of an argument'), 16).default({}),
    }),
  ],
  { error: 'must be a scope, or { scope: …, details: { detail: argument } }' },
)

const mcp = z.strictObject({
  url: text(500)
    .optional()
    .describe('Its MCP endpoint (Streamable HTTP); the secret goes to this origin and to no other'),
  command: name.optional().describe("A program that speaks MCP on stdio, by its name in the operator's configuration"),
  secret: z.string().optional().describe("The tool's credential for url, env:HALLPASS_TOOL_NAME or file:NAME"),
  header: upstream.shape.header,
  prefix: upstream.shape.prefix,
  tools: record(z.string().regex(MCP_TOOL, "must be an MCP tool's name: letters, digits and . _ -"), mapped, 64)
    .refine((tools) => Object.keys(tools).length > 0, 'needs at least one tool')
    .describe(
      'Its tools that agents may be given, each with the scope that covers it: create_issue: ticket:comment; { scope, details: { queue: project } } says which argument carries which detail',
    ),
})

const toolSchema = z.strictObject({
  ...head('Tool'),
  spec: z.strictObject({
    owners: owners.describe("Who accepts an agent's first access, and high risk"),
    category: z.enum(['ticketing', 'observability']).describe('What the tool is'),
    resource: text(500).describe("Its URL: the audience of its tokens; unique, and not on Hallpass's own origin"),
    scopes: record(
      scope,
      z.strictObject({
        description: z
          .string()
          .max(500, 'must be at most 500 characters')
          .default('')
          .describe('For owners and models'),
        risk: z.enum(RISKS).describe("low, medium or high; high needs the tool's owner to accept an agent's access"),
        approval: approval
          .default('none')
          .describe("The least approval; the stricter of this and the access entry's wins"),
        allow: allow.optional().describe('What it allows through the proxy; nothing that is not here'),
      }),
      256,
    )
      .refine((scopes) => Object.keys(scopes).length > 0, 'needs at least one scope')
      .describe('What can be done with it'),
    details: record(
      detailKey,
      z.strictObject({
        description: z
          .string()
          .max(500, 'must be at most 500 characters')
          .default('')
          .describe('For owners and models'),
        enforcedBy: z.enum(['tool', 'guard', 'proxy']).describe('Who holds an agent to it'),
      }),
      16,
    )
      .default({})
      .describe('What its scopes can be narrowed by'),
    token: z
      .strictObject({
        alg: z.enum(TOKEN_ALGS).default('ES256').describe('How its tokens are signed'),
        maxTtl: duration.default('10m').describe('The longest life of its tokens, at most 1h'),
        verifiedBy: z
          .enum(VERIFIED_BY)
          .default('alone')
          .describe(
            'asks: introspects each call; guard: holds a lease; alone: trusts a token until it expires; no matter to accounts',
          ),
        leeway: duration.default('60s').describe('How far its clock may be off, at most 10m'),
      })
      .prefault({}),
    target: target.default({ type: 'none' }),
    upstream: upstream.optional().describe('Where calls with delivery proxy go'),
    mcp: mcp.optional().describe("The tool's own MCP server: its tools are shown to agents whose grants cover them"),
  }),
})

const roleSchema = z.strictObject({
  ...head('Role'),
  spec: z.strictObject({
    access: access.min(1, 'needs at least one entry').describe('What every agent with this role may ask for'),
  }),
})

const teamSchema = z.strictObject({
  ...head('Team'),
  spec: z.strictObject({
    members: filled(member, 256, 'member; to remove the team, delete its document').describe('E-mail addresses'),
  }),
})

export const MANIFEST_SCHEMAS = { Agent: agentSchema, Tool: toolSchema, Role: roleSchema, Team: teamSchema } as const

export type Documents = { [K in ManifestKind]: z.output<(typeof MANIFEST_SCHEMAS)[K]> }
export type AccessDocument = z.output<typeof accessEntry>

type SchemaNode = z.core.JSONSchema.BaseSchema

/** JSON Schema (2020-12) of what a person may write, per kind: for editors and `hallpass scopes schema`. */
export const jsonSchemas = (): Record<ManifestKind, SchemaNode> => ({
  Agent: z.toJSONSchema(agentSchema, { io: 'input' }),
  Tool: z.toJSONSchema(toolSchema, { io: 'input' }),
  Role: z.toJSONSchema(roleSchema, { io: 'input' }),
  Team: z.toJSONSchema(teamSchema, { io: 'input' }),
})

type Field = { readonly path: string; readonly about: string; readonly leaf: boolean }

const isSchema = (node: unknown): node is SchemaNode =>
  typeof node === 'object' && node !== null && !Array.isArray(node)

/** Every field under a schema node. Lists of scalars, and records of free JSON, are leaves. */
const fieldsOf = (node: SchemaNode, path: string): Field[] => {
  const about = node.description ?? ''
  if (node.properties) {
    const own = { path, about, leaf: false }
    return [
      own,
      ...Object.entries(node.properties).flatMap(([key, value]) =>
        isSchema(value) ? fieldsOf(value, `${path}.${key}`) : [],
      ),
    ]
  }
  if (isSchema(node.items) && node.items.properties)
    return [{ path, about, leaf: false }, ...fieldsOf(node.items, `${path}[]`)]
  if (isSchema(node.additionalProperties)) {
    return [{ path, about, leaf: false }, ...fieldsOf(node.additionalProperties, `${path}{}`)]
  }
  return [{ path, about, leaf: true }]
}

const FIELDS: readonly Field[] = Object.entries(jsonSchemas()).flatMap(([kind, schema]) => fieldsOf(schema, kind))

/**
 * The dotted path of every field that carries a value, made from the schemas themselves: `Agent.spec.access[].scopes`,
 * `Tool.spec.token.maxTtl`. `[]` is an entry of a list of mappings, `{}` a value under a key of free choice.
 */
export const SCHEMA_FIELDS: readonly string[] = FIELDS.filter((field) => field.leaf).map((field) => field.path)

/** What each path (inner ones too) is for. */
export const FIELD_MEANINGS: ReadonlyMap<string, string> = new Map(FIELDS.map(({ path, about }) => [path, about]))
