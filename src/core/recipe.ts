// The language of recipes: how a tool's own admin API is asked for accounts, as data. A recipe names what is asked and
// what is read out of the answers; when, in which order and what is believed is the interpreter's alone. It holds no code.

import { z } from 'zod'

/** Steps of one recipe, all told. */
export const STEPS_MAX = 100

export type Scalar = string | number | boolean
export type Bound = Readonly<Record<string, string>>

export type Pages =
  /** How many rows were read so far goes into this parameter of the query. */
  | { readonly offset: string; readonly size: number; readonly total?: string | undefined }
  | { readonly number: string; readonly from: number; readonly size: number; readonly total?: string | undefined }
  /** What an answer names as the place to go on goes into this parameter; absent, null or empty ends it. */
  | { readonly cursor: string; readonly next: string }

/** One request, or none, and what its answer means. */
export type Step = {
  readonly for?: Readonly<Record<string, readonly Scalar[]>> | undefined
  readonly when?: Readonly<Record<string, Scalar>> | undefined
  readonly unless?: Readonly<Record<string, Scalar>> | undefined
  readonly get?: string | undefined
  readonly post?: string | undefined
  readonly put?: string | undefined
  readonly patch?: string | undefined
  readonly delete?: string | undefined
  /** The account's own secret in place of the admin's. */
  readonly with?: 'secret' | undefined
  readonly query?: Readonly<Record<string, Scalar>> | undefined
  readonly headers?: Readonly<Record<string, string>> | undefined
  readonly json?: z.core.util.JSONType | undefined
  /** Statuses besides 2xx that are no failure; nothing is read out of such an answer. */
  readonly also?: readonly number[] | undefined
  /** A GET that says the same until something is changed. */
  readonly once?: boolean | undefined
  /** As many rows or more are a failure: for a list that says in no body whether it goes on. */
  readonly fewerThan?: number | undefined
  readonly pages?: Pages | undefined
  readonly set?: Bound | undefined
  /** A pointer into the answer, or the name of a list; an object's rows are `{key, value}`. */
  readonly each?: string | undefined
  /** Pointers into a row. */
  readonly as?: Bound | undefined
  readonly where?: Readonly<Record<string, Scalar>> | undefined
  /** Rows that are all of this are left out. */
  readonly except?: Readonly<Record<string, Scalar>> | undefined
  /** Exactly one row must be left, and what it binds is known to the steps after this one too. */
  readonly need?: 'one' | undefined
  readonly collect?: Bound | undefined
  /** `account`, or the name of a form of right: what is bound is one of it. */
  readonly yields?: string | undefined
  /** A right that no form has a word for. */
  readonly holds?: string | undefined
  readonly steps?: readonly Step[] | undefined
}

const NAME = /^[a-z][A-Za-z0-9]{0,30}$/
const HEADER = /^[A-Za-z][A-Za-z0-9-]{0,60}$/
/** Characters of a path that mean nothing else in it; `{name}` is one part of it, or of a segment. */
const PATH = /^(?:\/(?!\.{1,2}(?:\/|$))(?:[A-Za-z0-9._~-]|\{[a-z][A-Za-z0-9]{0,30}\})+)+\/?$/
/** RFC 6901; with `?` in front, what is not there is null. */
const POINTER = /^\??(?:\/(?:[^~/]|~[01])*)*$/u

const name = z.string().regex(NAME, 'must be a small letter, then letters and digits')
const text = (most: number) => z.string().max(most, `must be at most ${most} characters`)
const scalar = z.union([text(500), z.number(), z.boolean()])
const pointer = text(200).regex(POINTER, 'must be a JSON pointer, like /user/id')
const path = text(300).regex(PATH, 'must be a path from the root of the tool, like /users/{id}')
/**
 * Headers that say where a request goes or where it ends, and not what is asked: they are the connection's alone. With Host a
 * recipe would reach another site behind the same address (S5).
 */
const OF_THE_CONNECTION =
  /^(?:host|connection|keep-alive|proxy-.*|te|trailer|transfer-encoding|upgrade|expect|content-length|forwarded|x-forwarded-.*|x-original-.*)$/i
const header = z
  .string()
  .regex(HEADER, 'must be the name of a header')
  .refine(
    (name) => !OF_THE_CONNECTION.test(name),
    'is no header of a recipe: where a call goes is the url of the manifest',
  )
const few = <T extends z.ZodType>(of: T, most = 20) =>
  z.record(name, of).refine((map) => Object.keys(map).length <= most, `must have at most ${most} entries`)
const parameters = <K extends z.ZodType<string, string>, T extends z.ZodType>(key: K, of: T) =>
  z.record(key, of).refine((map) => Object.keys(map).length <= 20, 'must have at most 20 entries')
const statuses = z.array(z.int().min(100).max(599)).max(20)
const size = z.int().min(1).max(1000)

const step: z.ZodType<Step> = z.lazy(() =>
  z.strictObject({
    for: few(z.array(scalar).min(1).max(20), 1).optional(),
    when: few(scalar).optional(),
    unless: few(scalar).optional(),
    get: path.optional(),
    post: path.optional(),
    put: path.optional(),
    patch: path.optional(),
    delete: path.optional(),
    with: z.literal('secret').optional(),
    query: parameters(text(60), scalar).optional(),
    headers: parameters(header, text(500)).optional(),
    json: z.json().optional(),
    also: statuses.optional(),
    once: z.boolean().optional(),
    fewerThan: size.optional(),
    pages: z
      .union([
        z.strictObject({ offset: text(60), size, total: pointer.optional() }),
        z.strictObject({ number: text(60), from: z.int().min(0).max(1), size, total: pointer.optional() }),
        z.strictObject({ cursor: text(60), next: pointer }),
      ])
      .optional(),
    set: few(pointer).optional(),
    each: z.union([pointer, name]).optional(),
    as: few(pointer).optional(),
    where: few(scalar).optional(),
    except: few(scalar).optional(),
    need: z.literal('one').optional(),
    collect: few(name).optional(),
    yields: name.optional(),
    holds: text(100).optional(),
    steps: z.array(step).max(STEPS_MAX).optional(),
  }),
)
const steps = z.array(step).max(STEPS_MAX)

/** What a part of a right, or a value, may be. No patterns: nothing here can take long. */
export type PartKind = 'slug' | 'word' | 'text' | 'number' | readonly string[]
const partKind = z.union([
  z.enum(['slug', 'word', 'text', 'number']),
  z.array(text(100).min(1)).min(1).max(64),
]) satisfies z.ZodType<PartKind>

const form = z.strictObject({
  text: text(200).min(1),
  parts: few(partKind),
  per: name.optional(),
  highest: name.optional(),
  atLeast: z.int().min(0).max(10).optional(),
})
export type RightForm = z.output<typeof form>

const auth = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('header'), header, prefix: text(60).default('') }),
  z.strictObject({ kind: z.literal('basic') }),
  z.strictObject({ kind: z.literal('app-jwt'), issuer: text(100), seconds: z.int().min(30).max(600) }),
  z.strictObject({ kind: z.literal('client-credentials'), path, scope: text(500).optional() }),
])
export type RecipeAuth = z.output<typeof auth>

export const recipeSchema = z.strictObject({
  recipe: z.string().regex(/^[a-z][a-z0-9-]{0,62}$/, 'must be small letters, digits and -'),
  about: text(500),
  keeps: z.enum(['accounts', 'nothing']).default('accounts'),
  capabilities: z.strictObject({
    scope: z.enum(['exact', 'coarse', 'none']),
    expires: z.boolean(),
    lists: z.boolean(),
    revokes: z.boolean(),
    probes: z.boolean(),
    deadWithinMilliseconds: z.int().min(0).max(600_000),
  }),
  presents: z.strictObject({
    header,
    prefix: text(60),
    // Where a tool is told a secret and gives none: what it is told is made here, {password}, new for each account.
    secret: text(100).optional(),
    base64: z.boolean().optional(),
  }),
  auth,
  headers: parameters(header, text(500)).default({}),
  values: few(partKind).default({}),
  rights: few(form, 8),
  find: steps.default([]),
  list: steps.default([]),
  read: steps.default([]),
  active: few(scalar).default({}),
  inactive: few(scalar).optional(),
  create: steps.default([]),
  reset: steps.default([]),
  give: few(steps, 8).default({}),
  take: few(steps, 8).default({}),
  enable: steps.default([]),
  secret: steps.default([]),
  remove: steps,
  probe: z.strictObject({ get: path, alive: statuses.min(1), dead: statuses.min(1) }),
})
export type Recipe = z.output<typeof recipeSchema>

export const METHODS = ['get', 'post', 'put', 'patch', 'delete'] as const

const TEMPLATE = /\{([a-z][A-Za-z0-9]{0,30})\}/g
/** The names in a template, or null where a brace is no name's. */
export const namesIn = (template: string): readonly string[] | null =>
  /[{}]/.test(template.replaceAll(TEMPLATE, '')) ? null : [...template.matchAll(TEMPLATE)].map((found) => found[1]!)

/** Whether `each` points into an answer; else it names a list. */
export const isPointer = (each: string | undefined): each is string => each !== undefined && !NAME.test(each)
