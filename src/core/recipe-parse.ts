// The text of a recipe to a recipe, or to every fault with its place, and whether a tool's manifest uses it rightly. Pure.

import type { Fault } from './manifest.ts'
import { collectFaults, oneOf, quoted, suggestion } from './manifest-faults.ts'
import { fieldOf, readYaml } from './manifest-yaml.ts'
import { type Recipe, recipeSchema } from './recipe.ts'
import { faultsOf, type RecipeFault } from './recipe-faults.ts'
import { formsOf, isOfKind, parseRights } from './recipe-rights.ts'
import { err, ok, type Result } from './result.ts'
import { detailsNamed } from './rights.ts'

const BYTES_MAX = 64 * 1024

export function parseRecipe(file: string, bytes: Uint8Array): Result<Recipe, readonly Fault[]> {
  const read = parseWritten(file, bytes)
  return read.ok ? ok(read.value.recipe) : read
}

type Written = {
  readonly recipe: Recipe
  /** As plain data, before any default. */
  readonly written: unknown
}

export function parseWritten(file: string, bytes: Uint8Array): Result<Written, readonly Fault[]> {
  const faults = collectFaults()
  if (bytes.byteLength > BYTES_MAX) {
    faults.add({ file, line: 1, column: 1 }, `a recipe is at most ${BYTES_MAX} bytes`)
    return err(faults.faults())
  }
  const [document, more] = readYaml(file, bytes, faults, 'data').documents
  if (more !== undefined) faults.add(more.place([]), 'a recipe is one document')
  if (document === undefined || faults.count() > 0) {
    if (faults.count() === 0) faults.add({ file, line: 1, column: 1 }, 'there is no recipe here')
    return err(faults.faults())
  }
  const read = recipeOf(document.value)
  if (read.ok) return ok({ recipe: read.value, written: document.value })
  for (const { path, message, ofKey = false } of read.error)
    faults.add(ofKey ? document.keyPlace(path) : document.place(path), ofKey ? message : `${fieldOf(path)}${message}`)
  return err(faults.faults())
}

/** Plain data, held to the language: its shape, and what the shape alone does not say. */
export function recipeOf(value: unknown): Result<Recipe, readonly (RecipeFault & { readonly ofKey?: boolean })[]> {
  const read = recipeSchema.safeParse(value)
  if (read.success) {
    const faults = faultsOf(read.data)
    return faults.length === 0
      ? ok(read.data)
      : err(faults.map(({ path, message }) => ({ path, message: ` ${message}` })))
  }
  return err(
    read.error.issues.flatMap((issue) =>
      issue.code === 'unrecognized_keys'
        ? issue.keys.map((key) => ({ path: [...issue.path, key], message: `unknown key ${quoted(key)}`, ofKey: true }))
        : [
            {
              path: issue.path,
              message: `: ${issue.code === 'invalid_key' ? (issue.issues[0]?.message ?? '') : issue.message}`,
            },
          ],
    ),
  )
}

type Use = {
  readonly values: Readonly<Record<string, string>>
  readonly rights: Readonly<Record<string, readonly string[]>>
}

/** What is wrong with a target that uses it; paths are those of the manifest's target. */
export function faultsOfUse(recipe: Recipe, { values, rights }: Use): readonly RecipeFault[] {
  const faults: RecipeFault[] = []
  const known = Object.keys(recipe.values)
  for (const [name, kind] of Object.entries(recipe.values)) {
    const value = Object.hasOwn(values, name) ? values[name] : undefined
    const wanted = Array.isArray(kind) ? oneOf(kind) : `a ${kind}`
    if (value === undefined)
      faults.push({ path: ['values'], message: `"${name}" is missing: the recipe needs it (${wanted})` })
    else if (!isOfKind(kind, value)) faults.push({ path: ['values', name], message: `"${name}" must be ${wanted}` })
  }
  for (const name of Object.keys(values))
    if (!Object.hasOwn(recipe.values, name)) {
      const otherwise = known.length === 0 ? '; it takes none' : `; it takes ${oneOf(known)}`
      const message = `the recipe takes no value ${quoted(name)}${suggestion(name, known, otherwise)}`
      faults.push({ path: ['values', name], message })
    }
  const one = { rights: Object.fromEntries(Object.entries(recipe.rights).map(([n, f]) => [n, { ...f, atLeast: 0 }])) }
  // What a detail will fill is not known yet: refused then, where it does not fit.
  for (const [scope, words] of Object.entries(rights))
    for (const [index, word] of words.entries())
      if (detailsNamed(word).length === 0 && !parseRights(one, [word]).ok)
        faults.push({
          path: ['rights', scope, index],
          message: `the right ${quoted(word)} is none of this recipe: write ${formsOf(recipe)}`,
        })
  return faults
}
