// Connects what actions know of tools' own admin APIs with the adapters that speak to them. An admin's secret is opened
// at each call, for the connection that it was accepted with, and given to nobody else (S5).

import type { Targets } from '../actions/ports.ts'
import { readToolSecret, type SecretSources } from '../adapters/system/tool-secrets.ts'
import { httpCall } from '../adapters/targets/http-call.ts'
import { influxdbTarget } from '../adapters/targets/influxdb.ts'
import { recipeTarget } from '../adapters/targets/recipe.ts'
import { redmineTarget } from '../adapters/targets/redmine.ts'
import { rtTarget } from '../adapters/targets/rt.ts'
import { shippedRecipes } from '../adapters/targets/shipped-recipes.ts'
import type { TargetConnection } from '../core/manifest.ts'
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
  http: ({ url, recipe: name, values }, secret) => {
    const recipe = shippedRecipes().get(name ?? '')
    if (recipe === undefined)
      throw new TargetFailure('refused', `this version has no recipe ${JSON.stringify(name)}`, { mayHaveActed: false })
    const [fault] = faultsOfUse(recipe, { values, rights: {} })
    if (fault !== undefined) throw new TargetFailure('refused', fault.message, { mayHaveActed: false })
    return recipeTarget({ url, secret, call: httpCall(), recipe, values })
  },
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
