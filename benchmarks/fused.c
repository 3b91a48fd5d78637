/* Batch norm as one loop over memory for each thing that must be known before the next: what a compiler can do with the
   formulas, for (n, c, l) float32 in C order.  speed.py compiles it, where there is a compiler, and compares. */

void forward(const float *x, const float *gamma, const float *beta, float *y, float *mean, float *r, long n, long c, long l)
{
    for (long k = 0; k < c; k++) {
        double sum = 0, square = 0;
        for (long i = 0; i < n; i++) {
            const float *a = x + (i * c + k) * l;
            float part = 0;
            for (long j = 0; j < l; j++) part += a[j];
            sum += part;
        }
        const float m = sum / (n * l);
        for (long i = 0; i < n; i++) {
            const float *a = x + (i * c + k) * l;
            float part = 0;
            for (long j = 0; j < l; j++) part += (a[j] - m) * (a[j] - m);
            square += part;
        }
        mean[k] = m;
        r[k] = 1 / __builtin_sqrt(square / (n * l) + 1e-5);
        const float scale = gamma[k] * r[k], shift = beta[k];
        for (long i = 0; i < n; i++) {
            const float *a = x + (i * c + k) * l;
            float *b = y + (i * c + k) * l;
            for (long j = 0; j < l; j++) b[j] = (a[j] - m) * scale + shift;
        }
    }
}

void backward(const float *x, const float *dy, const float *gamma, const float *mean, const float *r, float *dx,
              float *dgamma, float *dbeta, long n, long c, long l)
{
    for (long k = 0; k < c; k++) {
        double along = 0, sum = 0;
        const float m = mean[k];
        for (long i = 0; i < n; i++) {
            const float *a = x + (i * c + k) * l, *b = dy + (i * c + k) * l;
            float part = 0, plain = 0;
            for (long j = 0; j < l; j++) part += (a[j] - m) * b[j], plain += b[j];
            along += part;
            sum += plain;
        }
        dgamma[k] = along * r[k];
        dbeta[k] = sum;
        const float slope = dgamma[k] * r[k] / (n * l), mid = sum / (n * l), scale = gamma[k] * r[k];
        for (long i = 0; i < n; i++) {
            const float *a = x + (i * c + k) * l, *b = dy + (i * c + k) * l;
            float *d = dx + (i * c + k) * l;
            for (long j = 0; j < l; j++) d[j] = scale * (b[j] - mid - (a[j] - m) * slope);
        }
    }
}
