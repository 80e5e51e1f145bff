"""The rectified flow: path, times, loss, solvers, guidance. Torch alone; knows neither text nor files."""
