// Recipes of one's own, in files beside the manifests: read once a set, told line by line to whoever accepts them, and read
// again from what was accepted. A recipe names paths alone: where its calls go is the manifest's `url` (S5). Pure.

import { hash } from 'node:crypto'
import { fileBeside, isRecipeFile } from './file-beside.ts'
import type { ManifestFiles } from './manifest.ts'
import { type Faults, quoted, suggestion } from './manifest-faults.ts'
import type { Recipe } from './recipe.ts'
import { parseWritten, recipeOf } from './recipe-parse.ts'
import { err, ok, type Result } from './result.ts'

export type OwnRecipe = {
  readonly recipe: Recipe
  /** What its file says, without comments and places, in the order of the file, for the order of forms decides. */
  readonly json: string
}

export type OwnRecipes = {
  /** What `manifest` names. The error is for the place of the name; faults within the file are collected, and null. */
  read(manifest: string, written: string): Result<OwnRecipe | null, string>
  /** A recipe that no tool names is most likely a name that was mistyped. */
  warnUnused(): void
}

const RECIPE_FILE = { like: 'recipes/icinga2.recipe.yaml', what: 'recipes' }

/** Those of one set; each file is read once. */
export function ownRecipes(files: ManifestFiles, faults: Faults): OwnRecipes {
  const seen = new Map<string, OwnRecipe | null>()
  return {
    read(manifest, written) {
      const path = fileBeside(manifest, written, RECIPE_FILE)
      if (!path.ok) return err(`"recipeFile" ${path.error}`)
      if (!isRecipeFile(path.value))
        return err(`"recipeFile" ${quoted(written)} must end in .recipe.yaml: any other is read as a manifest`)
      const bytes = files.get(path.value)
      if (bytes === undefined) {
        const near = suggestion(
          path.value,
          [...files.keys()].filter(isRecipeFile),
          ': write it there, or name the right one',
        )
        return err(`recipe file ${quoted(path.value)} is not there${near}`)
      }
      const known = seen.get(path.value)
      if (known !== undefined) return ok(known)
      const parsed = parseWritten(path.value, bytes)
      if (!parsed.ok) for (const { message, ...place } of parsed.error) faults.add(place, message)
      const read = parsed.ok ? { recipe: parsed.value.recipe, json: JSON.stringify(parsed.value.written) } : null
      seen.set(path.value, read)
      return ok(read)
    },
    warnUnused() {
      for (const file of files.keys())
        if (isRecipeFile(file) && !seen.has(file))
          faults.warn({ file, line: 1, column: 1 }, 'no tool names this recipe in "recipeFile": nothing comes of it')
    },
  }
}

/** What was accepted, by this version of the language. The error is a sentence. */
export function acceptedRecipe(json: string): Result<Recipe, string> {
  const read = recipeOf(JSON.parse(json))
  if (read.ok) return read
  const [first] = read.error
  return err(`this version does not read the recipe that was accepted: ${first?.path.join('/')} ${first?.message}`)
}

const SHOWN = 400

/** By place, a line a step and a line a field, for whoever accepts it. What is too long to show changes with what it says. */
export function ownRecipeLines(json: string): readonly (readonly [string, string])[] {
  const shown = (value: unknown): string => {
    const text = JSON.stringify(value)
    return text.length <= SHOWN ? text : `${text.slice(0, SHOWN)}… (sha256 ${hash('sha256', text).slice(0, 16)})`
  }
  const lines = (value: unknown, at: string, deep: number): [string, string][] =>
    Array.isArray(value) && value.some((item) => typeof item === 'object')
      ? value.flatMap((item, index) => lines(item, `${at} ${index + 1}`, 0))
      : deep > 0 && value !== null && typeof value === 'object' && !Array.isArray(value)
        ? Object.entries(value).flatMap(([key, item]) => lines(item, `${at} ${key}`.trim(), deep - 1))
        : [[at, shown(value)]]
  return lines(JSON.parse(json), '', 2)
}
