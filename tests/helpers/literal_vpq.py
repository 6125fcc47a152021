# SPDX-License-Identifier: Apache-2.0
"""Video panoptic quality as it reads: window by window, every tube a mask."""
import numpy as np


def literal_vpq(gt, pred, gt_tables, pred_tables, classes, windows):
    """Scores one clip.

    Args:
        gt, pred (list[np.ndarray]): integer, (H, W), ids of each frame, 0 = void.
        gt_tables, pred_tables (list[dict]): of each frame, id -> (class, is crowd).
        classes (int): C.
        windows (Sequence[int]): lengths.

    Returns:
        list[tuple]: for each length four lists over classes: sum of IoU, TP, FP, FN.
    """
    result = []
    for length in windows:
        iou, tp, fp, fn = ([0.0] * classes, [0] * classes, [0] * classes, [0] * classes)
        for start in range(len(gt) - length + 1):
            steps = range(start, start + length)
            g_map, p_map = (np.concatenate([maps[i] for i in steps], axis=1) for maps in (gt, pred))
            g_info, p_info = {}, {}
            for i in steps:
                for number in np.unique(gt[i]):
                    g_info.setdefault(int(number), gt_tables[i].get(int(number)))
                for number in np.unique(pred[i]):
                    p_info.setdefault(int(number), pred_tables[i].get(int(number)))
            g_info.pop(0, None), p_info.pop(0, None)
            g_done, p_done = set(), set()
            for p, (p_cls, _) in p_info.items():
                for g, (g_cls, crowd) in g_info.items():
                    both = int(((p_map == p) & (g_map == g)).sum())
                    union = int(((p_map == p) | (g_map == g)).sum()) - int(((p_map == p) & (g_map == 0)).sum())
                    if g_cls == p_cls and not crowd and both / union > 0.5:
                        iou[g_cls] += both / union
                        tp[g_cls] += 1
                        g_done.add(g), p_done.add(p)
            for g, (g_cls, crowd) in g_info.items():
                fn[g_cls] += not crowd and g not in g_done
            for p, (p_cls, _) in p_info.items():
                excused = [0, *(g for g, (g_cls, crowd) in g_info.items() if crowd and g_cls == p_cls)]
                share = ((p_map == p) & np.isin(g_map, excused)).sum() / (p_map == p).sum()
                fp[p_cls] += p not in p_done and share <= 0.5
        result.append((iou, tp, fp, fn))
    return result
