// Connects what actions know of tools' own admin APIs with the adapters that speak to them. An admin's secret is opened
// at each call, for the connection that it was accepted with, and given to nobody else (S5).

import { LRUCache } from 'lru-cache'
import type { Targets } from '../actions/ports.ts'
import { readToolSecret, type SecretSources } from '../adapters/system/tool-secrets.ts'
import { httpCall } from '../adapters/targets/http-call.ts'
import { influxdbTarget } from '../adapters/targets/influxdb.ts'
import { recipeTarget } from '../adapters/targets/recipe.ts'
import { redmineTarget } from '../adapters/targets/redmine.ts'
import { rtTarget } from '../adapters/targets/rt.ts'
import { shippedRecipes } from '../adapters/targets/shipped-recipes.ts'
import type { TargetConnection } from '../core/manifest.ts'
import { acceptedRecipe } from '../core/own-recipe.ts'
import type { Recipe } from '../core/recipe.ts'
import { faultsOfUse } from '../core/recipe-parse.ts'
import type { Secret } from '../core/secret.ts'
import { type Target, TargetFailure } from '../core/target.ts'

export type MakeTarget = (connection: TargetConnection, secret: () => Promise<Secret>) => Target
export type TargetMakers = { readonly [T in TargetConnection['type']]?: MakeTarget }

/** By type; an adapter is known to the broker once it stands here. */
export const TARGET_MAKERS: TargetMakers = {
  redmine: ({ url }, secret) => redmineTarget({ url, secret, call: httpCall() }),
  rt: ({ url }, secret) => rtTarget({ url, secret, call: httpCall() }),
  influxdb: ({ url }, secret) => influxdbTarget({ url, secret, call: httpCall() }),
  http: ({ url, recipe: name, ownRecipe, values }, secret) => {
    const recipe = ownRecipe === undefined ? shippedRecipes().get(name ?? '') : readAccepted(ownRecipe)
    if (recipe === undefined)
      throw new TargetFailure('refused', `this version has no recipe ${JSON.stringify(name)}`, { mayHaveActed: false })
    const [fault] = faultsOfUse(recipe, { values, rights: {} })
    if (fault !== undefined) throw new TargetFailure('refused', fault.message, { mayHaveActed: false })
    return recipeTarget({ url, secret, call: httpCall(), recipe, values })
  },
}

/** By what they say. Tools are asked for four times a second, and a recipe takes a millisecond to read. */
const accepted = new LRUCache<string, Recipe>({ max: 100 })

function readAccepted(json: string): Recipe {
  const known = accepted.get(json)
  if (known !== undefined) return known
  const read = acceptedRecipe(json)
  if (!read.ok) throw new TargetFailure('refused', read.error, { mayHaveActed: false })
  accepted.set(json, read.value)
  return read.value
}

export type ConnectedTargets = Targets & { onWake(listener: () => void): void }

export function connectTargets(sources: SecretSources, makers: TargetMakers = TARGET_MAKERS): ConnectedTargets {
  let wake: () => void = () => {}
  return {
    of(connection) {
      const make = makers[connection.type]
      if (make === undefined)
        throw new TargetFailure('refused', `this version does not speak to ${connection.type} yet`, {
          mayHaveActed: false,
        })
      return make(connection, async () => {
        const secret = readToolSecret(connection.secret, sources)
        if (!secret.ok) throw new TargetFailure('refused', secret.error, { mayHaveActed: false })
        return secret.value
      })
    },
    wake: () => wake(),
    onWake(listener) {
      wake = listener
    },
  }
}
