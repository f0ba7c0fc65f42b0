// What the shape of a recipe alone does not say: that every name it uses is bound somewhere, means one thing, and that
// every step can be taken. Pure.

import { isPointer, METHODS, namesIn, type Recipe, STEPS_MAX, type Step } from './recipe.ts'

/** How deep steps nest. */
const STEPS_DEEP = 4

/** What fills templates in every recipe. */
const WANTED = ['label', 'rights', 'until', 'untilSeconds', 'seconds']
const GIVEN = [...WANTED, 'name', 'key', 'value']
const PASSWORD = 'password'
export type RecipeFault = { readonly path: readonly PropertyKey[]; readonly message: string }

/** What the shape alone does not say: every name that is used is bound somewhere, and every step can be taken. */
export function faultsOf(recipe: Recipe): readonly RecipeFault[] {
  const faults: RecipeFault[] = []
  const add = (path: readonly PropertyKey[], message: string) => void faults.push({ path, message })
  const own = recipe.presents.secret === undefined ? [] : [PASSWORD]
  const known = new Set([...GIVEN, ...own, ...Object.keys(recipe.values), ...Object.keys(recipe.rights)])
  for (const [form, { text, parts, per, highest }] of Object.entries(recipe.rights)) {
    const at = ['rights', form]
    if (form === 'account' || GIVEN.includes(form)) add(at, 'has a name that means something else')
    for (const part of Object.keys(parts)) known.add(part)
    const named = namesIn(text)
    const isWhole = named !== null && new Set(named).size === named.length && named.length > 0
    if (!isWhole || /\}\{/.test(text) || named.some((part) => !Object.hasOwn(parts, part)))
      add([...at, 'text'], 'must name each part once, with something between two of them')
    else if (named.length !== Object.keys(parts).length) add([...at, 'parts'], 'has a part that the text does not name')
    for (const part of [per, highest])
      if (part !== undefined && !Object.hasOwn(parts, part)) add(at, `"${part}" is none of its parts`)
    if (highest !== undefined && !Array.isArray(parts[highest])) add(at, '"highest" needs a part with listed words')
  }
  const all = placesOf(recipe)
  if (all.length > STEPS_MAX) add([], `has more than ${STEPS_MAX} steps`)
  const taken = new Set([...WANTED, ...own, ...Object.keys(recipe.values), ...Object.keys(recipe.rights)])
  for (const { parts } of Object.values(recipe.rights))
    for (const part of Object.keys(parts))
      if (taken.has(part)) add(['rights'], `the part "${part}" has a name that means something else`)
  for (const { step, at } of all)
    for (const key of Object.keys({ ...step.set, ...step.as, ...step.collect, ...step.for })) {
      if (taken.has(key)) add(at, `"${key}" means something else already: bind another name`)
      known.add(key)
    }
  const check = (template: unknown, at: readonly PropertyKey[]): void => {
    if (typeof template === 'string') {
      const named = namesIn(template)
      if (named === null) add(at, 'has a brace that belongs to no {name}')
      else for (const one of named) if (!known.has(one)) add(at, `{${one}} is bound nowhere`)
    } else if (template !== null && typeof template === 'object') {
      const { each, value } = template as { each?: unknown; value?: unknown }
      if (value !== undefined && typeof each === 'string' && !Object.hasOwn(recipe.rights, each))
        add(at, `"${each}" is no form of right: only rights are listed in JSON`)
      for (const [key, value] of Object.entries(template)) check(value, [...at, Array.isArray(template) ? +key : key])
    }
  }
  for (const { step, at, deep } of all) {
    const methods = METHODS.filter((method) => step[method] !== undefined)
    if (deep > STEPS_DEEP) add(at, `nests more than ${STEPS_DEEP} deep`)
    if (methods.length > 1) add(at, `is one request, and names ${methods.join(' and ')}`)
    const asks = methods.length === 1
    if (!asks)
      for (const field of ['query', 'headers', 'json', 'also', 'once', 'pages', 'fewerThan', 'set', 'with'] as const)
        if (step[field] !== undefined) add([...at, field], 'belongs to a request, and this step has none')
    if (step.once === true && step.get === undefined) add([...at, 'once'], 'is for a get alone')
    if (step.pages !== undefined && (step.get === undefined || !isPointer(step.each)))
      add([...at, 'pages'], 'is for a get with "each" in its answer')
    if (step.fewerThan !== undefined && (step.pages !== undefined || !isPointer(step.each)))
      add([...at, 'fewerThan'], 'is for one answer with "each" in it, and no pages')
    if (isPointer(step.each) && !asks) add([...at, 'each'], 'points into an answer, and this step has none')
    if (step.each !== undefined && !isPointer(step.each) && !known.has(step.each))
      add([...at, 'each'], `"${step.each}" is bound nowhere`)
    if (step.each === undefined)
      for (const field of ['as', 'except', 'need'] as const)
        if (step[field] !== undefined) add([...at, field], 'is for rows: it needs "each"')
    if (step.yields !== undefined && step.yields !== 'account' && !Object.hasOwn(recipe.rights, step.yields))
      add([...at, 'yields'], `"${step.yields}" is neither account nor a form of right`)
    for (const conditions of [step.when, step.unless, step.where, step.except])
      for (const key of Object.keys(conditions ?? {})) if (!known.has(key)) add(at, `"${key}" is bound nowhere`)
    for (const value of Object.values(step.collect ?? {}))
      if (!known.has(value)) add([...at, 'collect'], `"${value}" is bound nowhere`)
    for (const method of methods) check(step[method], [...at, method])
    for (const field of ['query', 'headers', 'json', 'where', 'except', 'holds'] as const)
      check(step[field], [...at, field])
  }
  for (const kind of ['give', 'take'] as const)
    for (const form of Object.keys(recipe[kind]))
      if (!Object.hasOwn(recipe.rights, form)) add([kind, form], `"${form}" is no form of right`)
  for (const value of Object.keys({ ...recipe.active, ...recipe.inactive }))
    if (!known.has(value)) add(['active'], `"${value}" is bound nowhere`)
  const keeps = recipe.keeps === 'accounts'
  if (keeps && recipe.find.length === 0) add(['find'], 'is missing: nothing is believed that cannot be looked up')
  else if (keeps && !yieldsAccounts(all, 'find')) add(['find'], 'has no step that yields an account')
  if (keeps && recipe.capabilities.lists)
    if (recipe.list.length > 0) {
      if (!yieldsAccounts(all, 'list')) add(['list'], 'has no step that yields an account')
    } else if (recipe.find.some(asksByName))
      add(['capabilities', 'lists'], 'needs steps under "list": those under "find" ask for one {name} alone')
  if (!keeps && recipe.secret.length === 0) add(['secret'], 'is missing')
  if (!keeps && recipe.capabilities.lists) add(['capabilities', 'lists'], 'a tool that keeps nothing lists nothing')
  check(recipe.headers, ['headers'])
  for (const { path, message } of presentsFaults(recipe)) add(path, message)
  check(recipe.probe.get, ['probe', 'get'])
  if (recipe.auth.kind === 'app-jwt') check(recipe.auth.issuer, ['auth', 'issuer'])
  return faults
}

const yieldsAccounts = (all: readonly Place[], field: 'find' | 'list'): boolean =>
  all.some(({ step, at }) => at[0] === field && step.yields === 'account')

/** Such a step asks the tool for the one account that is looked for; what is nested may name those that it was answered with. */
function asksByName(step: Step): boolean {
  const paths = METHODS.map((method) => step[method] ?? '')
  return JSON.stringify([paths, step.query, step.headers, step.json]).includes('{name}')
}

function presentsFaults({ presents, keeps, secret }: Recipe): readonly RecipeFault[] {
  const path = ['presents', 'secret']
  if (presents.secret === undefined)
    return presents.base64 === undefined
      ? []
      : [{ path: ['presents', 'base64'], message: 'is for a "secret" beside it' }]
  const named = namesIn(presents.secret)
  if (named === null || !named.includes(PASSWORD) || named.some((one) => one !== PASSWORD && one !== 'name'))
    return [{ path, message: 'must name {password}, and may name {name}' }]
  if (keeps === 'nothing') return [{ path, message: 'is for a tool that keeps accounts' }]
  // An account that is there already, half made, must come to know it too.
  return secret.length > 0 ? [] : [{ path, message: 'needs steps under "secret" that tell the tool {password}' }]
}

type Place = { readonly step: Step; readonly at: readonly PropertyKey[]; readonly deep: number }

function placesOf(recipe: Recipe): readonly Place[] {
  const walk = (steps: readonly Step[], at: readonly PropertyKey[], deep: number): Place[] =>
    steps.flatMap((step, index) => {
      const here = [...at, index]
      return [{ step, at: here, deep }, ...walk(step.steps ?? [], [...here, 'steps'], deep + 1)]
    })
  const plain = (['find', 'list', 'read', 'create', 'reset', 'enable', 'secret', 'remove'] as const).flatMap((field) =>
    walk(recipe[field], [field], 1),
  )
  const byForm = (['give', 'take'] as const).flatMap((field) =>
    Object.entries(recipe[field]).flatMap(([form, steps]) => walk(steps, [field, form], 1)),
  )
  return [...plain, ...byForm]
}
