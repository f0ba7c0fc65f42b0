// Any tool with an admin API, by its recipe: looks up, makes, gives, takes and removes as the recipe says, and believes only
// what it reads afterwards. In which order, and what is enough, is decided here and by no recipe.

import { Buffer } from 'node:buffer'
import { randomBytes } from 'node:crypto'
import type { Recipe, RightForm, Scalar } from '../../core/recipe.ts'
import { type ParsedRights, type Parts, parseRights, textOfRight, textsOf } from '../../core/recipe-rights.ts'
import { Secret } from '../../core/secret.ts'
import { type HeldAccount, type Target, TargetFailure } from '../../core/target.ts'
import { converse, type TargetConfig } from './conversation.ts'
import { type Operation, openOperation, sharedHeaders, type Yielded } from './recipe-steps.ts'
import { fillPath, fillText, type Scope } from './recipe-template.ts'
import { sameRights, sortedRights } from './rights.ts'

const SECRET_MAX = 8192
/** Of a secret that is made here: 256 bits. */
const PASSWORD_BYTES = 32

type Entry = { readonly form: string; readonly parts: Parts; readonly scope: Scope }
type Found = HeldAccount & { readonly entries: readonly Entry[]; readonly scope: Scope }

export type RecipeConfig = TargetConfig & {
  readonly recipe: Recipe
  readonly values: Readonly<Record<string, string>>
}

export function recipeTarget(config: RecipeConfig): Target {
  const { recipe } = config
  const values: Scope = new Map(Object.keys(recipe.values).map((name) => [name, valueNamed(config.values, name)]))
  const isStateless = recipe.keeps === 'nothing'
  const open = (signal: AbortSignal, own?: Secret) => openOperation({ config, recipe, signal, values, own })

  const parsed = (rights: readonly string[]): ParsedRights => {
    const read = parseRights(recipe, rights)
    if (!read.ok) throw new TargetFailure('refused', read.error, { mayHaveActed: false })
    return read.value
  }

  /** The account of a row of `find` or `list`, as its own reading has it. */
  async function read(on: Operation, row: Scope): Promise<Found> {
    const scope = new Map(row)
    const found = await on.run(recipe.read, scope)
    const { rights, entries } = rightsOf(on, found)
    const [name, id] = [scope.get('name'), scope.get('id')]
    if (typeof name !== 'string' || (typeof id !== 'string' && typeof id !== 'number'))
      throw on.talk.failure('garbled', 'an account has no id, or no name')
    return { name, external: String(id), active: isActive(scope), rights, entries, scope }
  }

  const isActive = (scope: Scope) =>
    holds(recipe.active, scope) && !(recipe.inactive !== undefined && holds(recipe.inactive, scope))

  function rightsOf(on: Operation, found: readonly Yielded[]) {
    const rights: string[] = []
    const entries: Entry[] = []
    for (const one of found) {
      if ('holds' in one) rights.push(one.holds)
      else if (one.of !== 'account') {
        const form = recipe.rights[one.of]
        if (form === undefined) throw new Error(`the recipe ${recipe.recipe} has no form ${one.of}`)
        const parts = Object.fromEntries(Object.keys(form.parts).map((part) => [part, String(one.scope.get(part))]))
        const text = textOfRight(form, parts)
        rights.push(text)
        entries.push({ form: one.of, parts, scope: one.scope })
      }
    }
    if (rights.some((right) => right.length > 1000)) throw on.talk.failure('garbled', 'a right is too long')
    return { rights: sortedRights(rights), entries }
  }

  async function lookUp(on: Operation, name: string): Promise<Found | null> {
    if (isStateless) return null
    const rows = await on.run(recipe.find, new Map([...values, ['name', name]]))
    const own = rows.flatMap((row) =>
      'of' in row && row.of === 'account' && row.scope.get('name') === name ? [row] : [],
    )
    const [first] = own
    if (first === undefined) return null
    if (new Set(own.map(({ scope }) => scope.get('id'))).size > 1)
      throw on.talk.failure('refused', 'the tool has more than one account of that name')
    return await read(on, first.scope)
  }

  async function mustLookUp(on: Operation, name: string): Promise<Found> {
    const found = await lookUp(on, name)
    if (found === null) throw on.talk.failure('refused', 'the tool does not have the account')
    return found
  }

  /** Exactly these, of the forms that can be given and taken: first what is too much, then what is missing. */
  async function settle(on: Operation, before: Found, wanted: ParsedRights, given: Scope = new Map()): Promise<Found> {
    let found = before
    const texts = textsOf(recipe, wanted)
    // All of them, for tools that are told the whole list at once.
    const more: Scope = new Map<string, unknown>([...given, ['rights', texts]])
    if (recipe.reset.length > 0 && found.rights.some((right) => !texts.includes(right))) {
      await on.run(recipe.reset, new Map([...more, ...found.scope]))
      found = await mustLookUp(on, found.name)
    }
    for (const [name, form] of Object.entries(recipe.rights)) {
      const keyOf = (parts: Parts) => (form.per === undefined ? textOfRight(form, parts) : (parts[form.per] ?? ''))
      const held = Map.groupBy(
        found.entries.filter((entry) => entry.form === name),
        ({ parts }) => keyOf(parts),
      )
      const asked = Map.groupBy(wanted.get(name) ?? [], keyOf)
      const isAsHeld = (key: string) =>
        sameRights(
          textsIn(
            form,
            held.get(key)?.map(({ parts }) => parts),
          ),
          textsIn(form, asked.get(key)),
        )
      for (const [key, [entry]] of held)
        if (entry !== undefined && !isAsHeld(key))
          await on.run(recipe.take[name] ?? [], new Map([...more, ...entry.scope]))
      for (const [key, rights] of asked)
        if (!isAsHeld(key))
          await on.run(
            recipe.give[name] ?? [],
            new Map<string, unknown>([...more, ...found.scope, ...Object.entries(rights[0] ?? {}), [name, rights]]),
          )
    }
    return found
  }

  async function expectHeld(on: Operation, name: string, rights: readonly string[], active: boolean): Promise<Found> {
    const now = await mustLookUp(on, name)
    if (now.active !== active || !sameRights(now.rights, rights))
      throw on.talk.failure('refused', 'the tool answered, and the account is not as it was asked for')
    return now
  }

  function secretIn(on: Operation, scope: Scope): Secret {
    const { presents } = recipe
    const made = presents.secret === undefined ? null : fillText(presents.secret, scope)
    const secret =
      made === null ? scope.get('secret') : presents.base64 === true ? Buffer.from(made).toString('base64') : made
    if (typeof secret !== 'string' || !/^[!-~]+$/.test(secret) || secret.length > SECRET_MAX)
      throw on.talk.failure('garbled', 'the tool gave no secret')
    return new Secret(secret)
  }

  async function probe(secret: Secret, signal: AbortSignal): Promise<'alive' | 'dead'> {
    const { get, alive, dead } = recipe.probe
    const { header, prefix } = recipe.presents
    const talk = converse(config, signal)
    const headers = { ...sharedHeaders(recipe, values), [header.toLowerCase()]: prefix + secret.reveal() }
    const { status, text } = await talk.ask({
      method: 'GET',
      path: fillPath(get, values),
      headers,
      also: [...alive, ...dead],
    })
    if (dead.includes(status)) return 'dead'
    if (!alive.includes(status) || (status < 300 && !isDocument(text)))
      throw talk.failure('garbled', `an answer is not what this tool answers (${status})`)
    return 'alive'
  }

  return {
    capabilities: {
      ...recipe.capabilities,
      presents: { header: recipe.presents.header, prefix: recipe.presents.prefix },
    },

    canonical: (rights) => textsOf(recipe, parsed(rights)),

    async create({ name, rights, label, until }, signal) {
      const wanted = parsed(rights)
      const texts = textsOf(recipe, wanted)
      const on = await open(signal)
      const given: Scope = new Map<string, unknown>([
        ...values,
        ...wanted,
        ['name', name],
        ['label', label],
        ['rights', texts],
        ['until', new Date(until).toISOString()],
        ['untilSeconds', Math.floor(until / 1000)],
        ['seconds', Math.max(1, Math.floor((until - Date.now()) / 1000))],
        ...(recipe.presents.secret === undefined
          ? []
          : ([['password', randomBytes(PASSWORD_BYTES).toString('base64url')]] as const)),
      ])
      if (isStateless) {
        const made = await on.run(recipe.secret, given)
        if (!sameRights(rightsOf(on, made).rights, texts))
          throw on.talk.failure('refused', 'the tool gave other rights than were asked for')
        return { external: name, secret: secretIn(on, given) }
      }
      let found = await lookUp(on, name)
      if (found === null) {
        await on.run(recipe.create, new Map(given))
        found = await lookUp(on, name)
        if (found === null) throw on.talk.failure('refused', 'the tool did not make the account')
      }
      found = await settle(on, found, wanted, given)
      if (!found.active) await on.run(recipe.enable, new Map([...given, ...found.scope]))
      const scope = new Map([...given, ...found.scope])
      await on.run(recipe.secret, scope)
      const now = await expectHeld(on, name, texts, true)
      return { external: now.external, secret: secretIn(on, recipe.secret.length > 0 ? scope : now.scope) }
    },

    async setRights({ name }, rights, signal) {
      const wanted = parsed(rights)
      const on = await open(signal)
      const found = await mustLookUp(on, name)
      await settle(on, found, wanted)
      await expectHeld(on, name, textsOf(recipe, wanted), found.active)
    },

    async remove({ name, secret }, signal) {
      if (isStateless) {
        // What nobody was given cannot be taken: it ends by itself.
        if (secret === undefined) return
        const on = await open(signal, secret)
        await on.run(recipe.remove, new Map([...values, ['name', name]]))
        if (recipe.capabilities.probes && (await probe(secret, signal)) === 'alive')
          throw on.talk.failure('refused', 'the tool answered, and the secret still works')
        return
      }
      const on = await open(signal)
      const found = await lookUp(on, name)
      if (found === null) return
      await on.run(recipe.remove, new Map(found.scope))
      const after = await lookUp(on, name)
      if (after === null) return
      const takes = Object.keys(recipe.take).length > 0
      if (takes) await settle(on, after, new Map())
      const now = takes ? await lookUp(on, name) : after
      if (now !== null && (now.active || (takes && now.rights.length > 0)))
        throw on.talk.failure('refused', 'the tool answered, and the account is not gone')
    },

    async look({ name }, signal) {
      if (isStateless) return null
      const found = await lookUp(await open(signal), name)
      return found === null ? null : asHeld(found)
    },

    probe,

    async list(limit, signal) {
      const on = await open(signal)
      const steps = recipe.list.length > 0 ? recipe.list : recipe.find
      const rows = (await on.run(steps, new Map(values))).flatMap((row) =>
        'of' in row && row.of === 'account' ? [row.scope] : [],
      )
      const byId = new Map(rows.map((scope) => [scope.get('id'), scope]))
      if (byId.size > limit) throw on.talk.failure('refused', `the tool holds more than ${limit}`)
      const found: HeldAccount[] = []
      for (const scope of byId.values()) found.push(asHeld(await read(on, scope)))
      return found
    },
  }
}

const asHeld = ({ name, external, active, rights }: Found): HeldAccount => ({ name, external, active, rights })

const textsIn = (form: RightForm, rights: readonly Parts[] = []) => rights.map((parts) => textOfRight(form, parts))

const holds = (conditions: Readonly<Record<string, Scalar>>, scope: Scope): boolean =>
  Object.entries(conditions).every(([name, value]) => String(scope.get(name)) === String(value))

/** JSON that is a thing and no error's word for one. */
function isDocument(text: string): boolean {
  try {
    const value: unknown = JSON.parse(text)
    return value !== null && typeof value === 'object' && !Object.keys(value).some((key) => /^errors?$/.test(key))
  } catch {
    return false
  }
}

function valueNamed(values: Readonly<Record<string, string>>, name: string): string {
  const value = Object.hasOwn(values, name) ? values[name] : undefined
  if (value === undefined)
    throw new TargetFailure('refused', `the recipe needs a value "${name}"`, { mayHaveActed: false })
  return value
}
