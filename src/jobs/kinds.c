/* SPDX-License-Identifier: MIT */
/* Running a kind: by its own function, or by the one that a higher folder has registered. */
#include "jobs/jobs_impl.h"

void nn_jobs_set_run(nn_jobs *j, nn_kind_id k, nn_run_ctx_fn *fn, void *ctx) {
    j->run[k].fn = fn;
    j->run[k].ctx = ctx;
}

bool nn_kind_can_run(const nn_jobs *j, nn_kind_id k) {
    return j->run[k].fn || nn_kind_at(k)->run;
}

nn_status nn_kind_run(nn_jobs *j, nn_kind_id k, const nn_run *r, nn_json **ret_result,
                      nn_json **ret_details, nn_err *err) {
    if (j && j->run[k].fn) return j->run[k].fn(j->run[k].ctx, r, ret_result, ret_details, err);
    if (nn_kind_at(k)->run) return nn_kind_at(k)->run(r, ret_result, ret_details, err);
    return nn_fail(err, NN_E_UNSUPPORTED, "nothing here can run operations of kind '%s'",
                   nn_kind_id_name(k));
}
