// A tool's target, linked: which fields its type takes, where its secret goes, and that every scope has a right and every
// detail that the tool enforces is in one. It resolves nothing, and repeats nothing that could be a secret (S5).

import { lowestRisk } from './drill-schedule.ts'
import { formatDuration, parseDurationSeconds } from './duration.ts'
import { DRILL } from './limits.ts'
import type { AccountTarget, DrillSchedule, ReconcilePolicy, ToolManifest, ToolTarget } from './manifest.ts'
import { type Faults, oneOf, quoted, suggestion } from './manifest-faults.ts'
import type { Read } from './manifest-read.ts'
import type { Path } from './manifest-yaml.ts'
import type { OwnRecipe, OwnRecipes } from './own-recipe.ts'
import type { Recipe } from './recipe.ts'
import { faultsOfUse } from './recipe-parse.ts'
import { isOnOrigin, normalizeResource } from './resource-url.ts'
import { detailsNamed, isWellFormed, RIGHT_VALUE, rightsFor } from './rights.ts'
import { isSecretReference } from './secret-reference.ts'
import { targetWarnings } from './target-limits.ts'

type Linking = {
  readonly issuerOrigin: string | null
  readonly recipes: ReadonlyMap<string, Recipe> | undefined
  readonly own: OwnRecipes
  readonly faults: Faults
}

const PATH = ['spec', 'target'] as const
const NONE: ToolTarget = { type: 'none' }
const POLICY: ReconcilePolicy = { ghosts: 'remove', others: 'report', overScoped: 'heal', exempt: [] }
const NEEDED = {
  url: 'where its API is',
  secret: "where its admin's secret is",
  rights: "each scope in the tool's words",
}

/** The target with its defaults; `none` where it has faults, for a set with faults is not believed anyway. */
export const linkTarget = (tool: Read<'Tool'>, linking: Linking): ToolTarget => {
  const { yaml, document } = tool
  const { target } = document.spec
  const { faults } = linking
  const add = (path: Path, message: string) => faults.add(yaml.place([...PATH, ...path]), message)
  const { type, ...fields } = target
  if (type === 'none') {
    for (const [field, value] of Object.entries(fields))
      if (value !== undefined)
        faults.add(yaml.keyPlace([...PATH, field]), `"${field}" says nothing of a target of type none: remove it`)
    return NONE
  }
  const { url, secret, rights, recipe, recipeFile, values, reconcile, drill } = fields
  for (const [field, meaning] of Object.entries(NEEDED))
    if (fields[field as keyof typeof NEEDED] === undefined) add([], `"${field}" is missing (${meaning})`)
  if (type === 'http') {
    if (recipe === undefined && recipeFile === undefined)
      add([], '"recipe" is missing (the name of a recipe that Hallpass ships), or "recipeFile" (one of your own)')
    if (recipe !== undefined && recipeFile !== undefined)
      faults.add(yaml.keyPlace([...PATH, 'recipeFile']), '"recipe" is there too: say one of the two')
  } else {
    for (const [field, value] of Object.entries({ recipe, recipeFile, values }))
      if (value !== undefined)
        faults.add(yaml.keyPlace([...PATH, field]), `"${field}" is for a target of type http alone: remove it`)
  }
  const own = type === 'http' && recipeFile !== undefined ? ownRecipe(tool, recipeFile, linking) : null
  if (url === undefined || secret === undefined || rights === undefined) return NONE
  if (!isSecretReference(secret))
    add(['secret'], '"secret" must be a reference, env:HALLPASS_TOOL_NAME or file:NAME: never the secret itself')
  const normalized = normalizeResource(url)
  if (!normalized.ok) add(['url'], `"url" ${normalized.error}`)
  else if (linking.issuerOrigin !== null && isOnOrigin(normalized.value, linking.issuerOrigin))
    add(['url'], `"url" ${quoted(normalized.value)} is on Hallpass's own origin: it is where the tool is`)
  addRightFaults(tool, rights, linking)
  const used = own?.recipe ?? (type === 'http' && recipe !== undefined ? shipped(add, recipe, linking) : undefined)
  if (used !== undefined)
    for (const { path, message } of faultsOfUse(used, { values: values ?? {}, rights })) add(path, message)
  for (const warning of targetWarnings(type, used))
    faults.warn(yaml.place([...PATH, 'type']), `tool ${quoted(tool.name)} (${type}) ${warning}`)
  if (drill !== undefined && used?.capabilities.revokes === false)
    add(['drill'], '"drill" is for tools that take an account away when they are asked to: each one would fail here')
  const drilled = drill === undefined ? null : drillSchedule(add, drill, rights, document.spec)
  return {
    type,
    url: normalized.ok ? normalized.value : url,
    secret,
    recipe: recipe ?? null,
    ...(own === null ? {} : { ownRecipe: own.json }),
    values: values ?? {},
    rights: Object.fromEntries(Object.entries(rights).map(([scope, words]) => [scope, [...new Set(words)].sort()])),
    reconcile: { ...POLICY, ...reconcile, exempt: [...new Set(reconcile?.exempt ?? [])].sort() },
    ...(drilled === null ? {} : { drill: drilled }),
  }
}

const addRightFaults = (tool: Read<'Tool'>, rights: AccountTarget['rights'], { faults }: Linking): void => {
  const { yaml, document } = tool
  const { scopes, details } = document.spec
  const at = [...PATH, 'rights']
  for (const scope of Object.keys(scopes))
    if (!Object.hasOwn(rights, scope))
      faults.add(yaml.place(at), () => `the scope ${quoted(scope)} has no right: say what it is in the tool's words`)
  const named = new Set<string>()
  for (const [scope, words] of Object.entries(rights)) {
    if (!Object.hasOwn(scopes, scope)) {
      const known = Object.keys(scopes)
      const otherwise = `: the tool declares ${oneOf(known)}`
      faults.add(yaml.keyPlace([...at, scope]), () => `no scope ${quoted(scope)}${suggestion(scope, known, otherwise)}`)
    }
    for (const [index, word] of words.entries()) {
      const place = yaml.place([...at, scope, index])
      if (!isWellFormed(word)) faults.add(place, () => `the right ${quoted(word)} has a brace that names no detail`)
      for (const name of detailsNamed(word)) {
        named.add(name)
        if (Object.hasOwn(details, name)) continue
        const known = Object.keys(details)
        const otherwise = known.length === 0 ? '; it declares none' : `; it declares ${oneOf(known)}`
        const what = `the right ${quoted(word)} names ${quoted(name)}, which is no detail of the tool`
        faults.add(place, () => `${what}${suggestion(name, known, otherwise)}`)
      }
    }
  }
  for (const [key, { enforcedBy }] of Object.entries(details))
    if (enforcedBy === 'tool' && !named.has(key)) {
      const message = `no right names {${key}}, so the tool cannot hold an agent to it: name it in a right, or say who does`
      faults.add(yaml.keyPlace(['spec', 'details', key]), message)
    }
}

type Add = (path: Path, message: string) => void
type Spec = Read<'Tool'>['document']['spec']

/** Null where it has faults. Whatever would refuse each drill is told here. */
function drillSchedule(
  add: Add,
  { every, scope, details }: NonNullable<Spec['target']['drill']>,
  rights: AccountTarget['rights'],
  { scopes, details: declared }: Spec,
): DrillSchedule | null {
  const everySeconds = parseDurationSeconds(every)
  if (everySeconds === null || everySeconds < DRILL.everyMin || everySeconds > DRILL.everyMax) {
    const [least, most] = [formatDuration(DRILL.everyMin), formatDuration(DRILL.everyMax)]
    add(['drill', 'every'], `"every" is ${every}: it takes ${least} to ${most}`)
    return null
  }
  if (scope !== undefined && !Object.hasOwn(scopes, scope)) {
    const known = Object.keys(scopes)
    const otherwise = `: the tool declares ${oneOf(known)}`
    add(['drill', 'scope'], `no scope ${quoted(scope)}${suggestion(scope, known, otherwise)}`)
    return null
  }
  for (const key of Object.keys(details))
    if (!Object.hasOwn(declared, key))
      add(
        ['drill', 'details', key],
        `${quoted(key)} is no detail of the tool${suggestion(key, Object.keys(declared), '')}`,
      )
  const used = scope ?? lowestRisk(scopes)
  // A scope without a right has its own fault.
  const fit = Object.hasOwn(rights, used) ? rightsFor({ rights }, [used], details) : null
  if (fit !== null && !fit.ok)
    add(['drill'], `a canary with the scope ${quoted(used)} could not be made: ${fit.error.message}`)
  return { everySeconds, scope: scope ?? null, details }
}

/** Undefined where there is none of that name, or none is known. */
const shipped = (add: Add, name: string, { recipes }: Linking): Recipe | undefined => {
  const recipe = recipes?.get(name)
  if (recipes !== undefined && recipe === undefined) {
    const known = [...recipes.keys()]
    const otherwise = `: there is ${oneOf(known)}, or "recipeFile" for one of your own`
    add(['recipe'], `no recipe ${quoted(name)}${suggestion(name, known, otherwise)}`)
  }
  return recipe
}

/** What is wrong within the file is told at its own lines. */
const ownRecipe = ({ yaml }: Read<'Tool'>, written: string, { own, faults }: Linking): OwnRecipe | null => {
  const found = own.read(yaml.file, written)
  if (!found.ok) faults.add(yaml.place([...PATH, 'recipeFile']), found.error)
  return found.ok ? found.value : null
}

/** Values of an access entry that could not be written into a right of the tool's: they would be refused at each use. */
export const unfitForRight = (
  { target }: Pick<ToolManifest, 'target'>,
  details: Readonly<Record<string, readonly string[]>>,
): { readonly path: Path; readonly message: string }[] => {
  if (target.type === 'none') return []
  const named = new Set(Object.values(target.rights).flatMap((words) => words.flatMap(detailsNamed)))
  return Object.entries(details).flatMap(([key, values]) =>
    values.flatMap((value, index) =>
      !named.has(key) || RIGHT_VALUE.test(value)
        ? []
        : [
            {
              path: [key, index],
              message: `${quoted(value)} cannot fill a right of the tool: write letters, digits, spaces and . _ - alone`,
            },
          ],
    ),
  )
}
