"""FCN-8s scorer of p2pbench, usable alone.

Caffe's weights without Caffe, images to confusion matrices, matrices to scores.

Begin with `fcn.weights` (load, from_caffe), `fcn.scoring.score` and `fcn.score_protocols` (counted, scores).
"""
